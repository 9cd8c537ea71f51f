"""Small random models of all four shapes with a tokenizer of letters, to move every control of an explorer on."""

from small_models import SHAPES, draw_weights, small_config

from minigemma.checkpoint import Weights
from minigemma.explore import Explorer
from minigemma.model import Gemma4
from minigemma.parameters import tensor_shapes


class Letters:
    """One token a letter."""

    def encode(self, text):
        return [3 + ord(letter) % 70 for letter in text]

    def tokens(self, ids):
        return [chr(97 + i % 26) for i in ids]


def letter_model(shape, towers=False):
    """A small model of this shape (a name of ``SHAPES``) that reads letters; towers: with eyes, e-shapes with ears."""
    config = small_config(shape, towers)
    model = Gemma4(config, Weights.of(draw_weights(tensor_shapes(config), 1)).under("model."))
    model.tokenizer = Letters()
    return model


def move_everything(explorer: Explorer) -> int:
    """Move every control over its ends (or options) and back; returns how many pictures were drawn on the way."""
    drawn = 0
    for control in explorer.controls.values():
        before, old = explorer.picture.value, control.value
        for value in (*_values(control), old):
            control.value = value
            assert explorer.message.value == "", explorer.message.value
            drawn += explorer.picture.value != before
            before = explorer.picture.value
    return drawn


def _values(control):
    if hasattr(control, "options"):
        return [option[1] if isinstance(option, tuple) else option for option in control.options]
    if isinstance(control.value, bool):
        return [not control.value]
    if isinstance(control.value, str):
        return ["other words", "a"]
    return [control.min, control.max]


__all__ = ["SHAPES", "letter_model", "move_everything"]
