"""Three senses in one prompt: every control moved on all four shapes; what a model has no sense for is not offered."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("ipywidgets")
from explore_models import SHAPES, Letters, letter_model, move_everything
from small_models import draw_weights, small_config

from minigemma import plots
from minigemma.checkpoint import Weights
from minigemma.errors import InputError
from minigemma.explore import three_senses
from minigemma.model import Gemma4
from minigemma.parameters import tensor_shapes
from minigemma.senses import SENSES, source_shares, token_sources, token_types

MARKS = {"image": "\x01", "audio": "\x02"}


class Turns(Letters):
    """Letters that also know a placeholder for a picture and one for a sound."""

    def __init__(self, config):
        self.ids = {"\x01": config.image_token_id, "\x02": config.audio_token_id}

    def apply_chat(self, messages, thinking=False):
        items = messages[-1]["content"]
        return "".join(item.get("text") or MARKS.get(item["type"], "") for item in items) + "\n"

    def encode(self, text):
        return [self.ids[c] if c in self.ids else 3 + ord(c) % 40 for c in text]

    def expand_placeholders(self, ids, images=(), sounds=()):
        counts = {self.ids["\x01"]: iter(images), self.ids["\x02"]: iter(sounds)}
        return [i for i in ids for _ in range(next(counts[i]) if i in counts else 1)]

    def decode(self, ids, skip_special=False):
        return "".join(self.tokens(ids))


def model_with_turns(shape):
    config = small_config(shape, towers=True)
    vision = replace(config.vision, position_embedding_size=128)
    config = replace(config, default_soft_tokens=70, vision=vision)
    model = Gemma4(config, Weights.of(draw_weights(tensor_shapes(config), 1)).under("model."))
    model.tokenizer = Turns(config)
    return model


@pytest.mark.parametrize("shape", SHAPES)
def test_every_control_moves(shape):
    model = model_with_turns(shape)
    explorer = three_senses(model, "what is this")
    assert ("sound" in explorer.controls) == (model.config.audio is not None)
    assert move_everything(explorer) > 6


def test_nothing_to_ask_is_said_in_words():
    explorer = three_senses(model_with_turns("e2b"), "hi", picture="", sound="")
    explorer.controls["question"].value = " "
    assert "nothing to ask" in explorer.message.value


def test_sources_are_those_of_the_placeholders_only():
    config = letter_model("e2b", towers=True).config
    ids = [config.boi_token_id, config.image_token_id, config.video_token_id, config.eoi_token_id, 5]
    assert token_sources(config, [*ids, config.audio_token_id]) == ["text", "image", "image", "text", "text", "audio"]
    assert token_types(config, ids).tolist() == [0, 1, 1, 0, 0]


def test_shares_are_those_of_each_row():
    shares = source_shares(np.array([[0.5, 0.25, 0.25], [0, 1, 0]]), ["text", "image", "text"])
    assert {name: values.tolist() for name, values in shares.items()} == {
        "text": [0.75, 0.0],
        "image": [0.25, 1.0],
        "audio": [0.0, 0.0],
    }
    assert tuple(shares) == SENSES


def test_pictures_refuse_what_does_not_fit():
    with pytest.raises(InputError, match="3 tokens"):
        plots.senses_view(np.ones(2), ["a", "b", "c"], ["text"] * 2, 0)
    with pytest.raises(InputError, match="1 positions are image"):
        plots.senses_view(np.ones(2), ["a", "b"], ["text", "image"], 0)
    with pytest.raises(InputError, match="smell"):
        plots.source_map({"smell": np.ones((3, 4))})
    with pytest.raises(InputError, match="schedule has"):
        plots.share_by_layer({"text": np.ones(1)}, letter_model("e2b").schedule)
    with pytest.raises(InputError, match="sources"):
        plots.ple_along(np.ones((3, 2)), np.ones((3, 2)), ["text"])


def test_pictures_of_sources_are_drawn():
    rng, schedule = np.random.default_rng(0), letter_model("e2b").schedule
    sources = ["text", "image", "audio", "text"]
    assert len(plots.source_map({name: rng.normal(size=(5, 4)) for name in SENSES}).axes) == 2
    assert plots.share_by_layer({name: np.full(len(schedule), 1 / 3) for name in SENSES}, schedule).axes
    assert len(plots.ple_along(*rng.normal(size=(2, 4, 3)), sources).axes) == 4
    assert plots.senses_view(np.full(3, 1 / 3), ["a", "b", "c"], ["text"] * 3, 1).axes
