"""The sampler: every control for every shape; what is drawn is what the generator draws from."""

import numpy as np
import pytest

pytest.importorskip("ipywidgets")
from explore_models import SHAPES, letter_model, move_everything

from minigemma import plots
from minigemma.explore import sampler
from minigemma.generate import next_token_probabilities


@pytest.mark.parametrize("shape", SHAPES)
def test_every_control_of_every_shape(shape):
    assert move_everything(sampler(letter_model(shape), "some words")) > 12


def test_the_picture_has_what_the_generator_draws_from(monkeypatch):
    model, seen = letter_model("e2b"), []
    draw = plots.next_tokens
    monkeypatch.setattr(plots, "next_tokens", lambda chances, *a, **k: seen.append(chances) or draw(chances, *a, **k))
    explorer = sampler(model, "words")
    explorer.controls["temperature"].value = 0.6
    explorer.controls["top_k"].value = 3
    logits = model.forward([model.config.text.bos_token_id, *model.tokenizer.encode("words")])[-1]
    best = np.argsort(-logits, kind="stable")[:12]
    assert np.allclose(seen[-1]["as they are drawn"], next_token_probabilities(logits, 0.6, 3, 0.9)[best], atol=1e-5)
    explorer.controls["temperature"].value = 0.0
    assert seen[-1]["as they are drawn"].tolist() == [1.0] + [0.0] * 11


def test_no_text_is_said():
    explorer = sampler(letter_model("e2b"), "words")
    explorer.controls["sentence"].value = " "
    assert "type a word" in explorer.message.value
