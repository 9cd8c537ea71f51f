"""Images and video inside the whole model: places, masks, cache, errors, without torch and against the reference."""

import dataclasses

import numpy as np
import pytest
from small_models import SHAPES, SPECIAL, draw_ids, draw_image, random_gemma

from minigemma import vision
from minigemma.errors import InputError
from minigemma.model import Gemma4
from minigemma.trace import Trace
from minigemma.vision.numbers import attention_to, image_runs

LARGE = ("26b", "31b")


def prompt(counts, kinds=None, seed=3):
    """Text, then for every image or frame (counts: its soft tokens) its placeholders between markers, and more text."""
    text = iter(draw_ids(80, seed))
    ids = [int(next(text)) for _ in range(4)]
    for i, count in enumerate(counts):
        placeholder = SPECIAL[f"{kinds[i] if kinds else 'image'}_token_id"]
        ids += [SPECIAL["boi_token_id"], *[placeholder] * count, SPECIAL["eoi_token_id"]]
        ids += [int(next(text)) for _ in range(2 + i)]
    return np.array(ids)


def case_of_three():
    """An image longer than any window, one of a single soft token, and a frame of a video: ids (T,), images."""
    images = [draw_image(9, 12, 1), draw_image(3, 3, 2), draw_image(15, 3, 3)]  # 12, 1 and 5 soft tokens
    return prompt([12, 1, 5], ["image", "image", "video"]), images


@pytest.mark.parametrize("shape", SHAPES)
def test_soft_tokens_stand_unscaled_in_their_places(shape):
    model, (ids, images) = random_gemma(shape, towers=True), case_of_three()
    trace = Trace("embedding", "images.*.soft_tokens")
    model.forward(ids, images, trace=trace)
    types = vision.token_types(ids, model.config)
    soft = np.concatenate([model.encode_image(*image) for image in images])
    np.testing.assert_array_equal(trace["embedding"][types > 0], soft)
    np.testing.assert_array_equal(np.concatenate([trace[f"images.{i}.soft_tokens"] for i in range(3)]), soft)
    rows = model.text_weights["embed_tokens.weight"][ids[types == 0]] * model.config.text.hidden_size**0.5
    np.testing.assert_allclose(trace["embedding"][types == 0], rows, rtol=1e-6)


def test_every_name_of_the_tower_is_in_the_trace_of_the_model():
    model, (ids, images) = random_gemma("31b", towers=True), case_of_three()
    trace = Trace()
    model.forward(ids, images, trace=trace)
    alone = Trace()
    model.encode_image(*images[1], watch=alone)
    assert {name for name in trace if name.startswith("images.1.")} == {f"images.1.{name}" for name in alone}
    for name in ("patch_embedding", "position_embedding", "pooled", "standardised", "soft_tokens"):
        np.testing.assert_array_equal(trace[f"images.1.{name}"], alone[name])
    assert trace["images.0.layers.1.attention.pattern"].shape == (3, 108, 108)


@pytest.mark.parametrize("shape", ["e2b", "e4b"])
def test_per_layer_embeddings_of_images_are_the_pad_row_and_the_image(shape):
    model, (ids, images) = random_gemma(shape, towers=True), case_of_three()
    places = vision.token_types(ids, model.config) > 0
    trace, other = Trace("ple.*"), Trace("ple.*")
    model.forward(ids, images, trace=trace)
    model.forward(ids, [(1 - patches, positions) for patches, positions in images], trace=other)
    token_part = trace["ple.token_part"]  # (T, L, P)
    pad = model.text_weights["embed_tokens_per_layer.weight"][0].reshape(token_part.shape[1:])
    np.testing.assert_allclose(
        token_part[places], np.broadcast_to(pad * pad.shape[-1] ** 0.5, token_part[places].shape)
    )
    assert pad.any()
    changed = (trace["ple.context_part"] != other["ple.context_part"]).any(axis=(1, 2))
    np.testing.assert_array_equal(changed, places)  # made after the soft tokens were merged in


@pytest.mark.parametrize("shape", SHAPES)
def test_who_sees_whom(shape):
    """Traced patterns against the rule, spelled out pair by pair: window AND (causal OR same image), locally."""
    model, (ids, images) = random_gemma(shape, towers=True), case_of_three()
    trace = Trace("layers.*.attention.pattern")
    model.forward(ids, images, trace=trace)
    runs = image_runs(vision.token_types(ids, model.config) > 0)
    assert len(runs) == 3
    window = model.config.text.sliding_window
    for spec in model.schedule:
        pattern = trace[f"layers.{spec.index}.attention.pattern"]
        for query in range(len(ids)):
            for key in range(len(ids)):
                together = any(run.start <= query < run.stop and run.start <= key < run.stop for run in runs)
                sees = key <= query or (together and shape in LARGE and spec.is_local)
                sees = sees and (not spec.is_local or key > query - window)
                assert (pattern[:, query, key] > 0).all() == sees, (spec.index, query, key)
        looks = attention_to(runs[0], [pattern])
        np.testing.assert_allclose(looks, pattern.mean(axis=0)[:, runs[0]], rtol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pieces", ["images", "tokens"])
def test_cached_chunked_and_continued(shape, pieces, close):
    """An image a call, or every text token alone and every image in a call of its own: as in one pass."""
    model, (ids, images) = random_gemma(shape, towers=True), case_of_three()
    whole = model.forward(ids, images)
    cuts = [run.stop + 1 for run in image_runs(vision.token_types(ids, model.config) > 0)]
    if pieces == "tokens":
        cuts = np.flatnonzero(vision.token_types(ids, model.config) == 0).tolist()
    cache, waiting, parts = model.new_cache(), iter(images), []
    for start, end in zip([0, *cuts], [*cuts, len(ids)], strict=True):
        if start < end:
            piece = ids[start:end]
            count = len(image_runs(vision.token_types(piece, model.config) > 0))
            parts.append(model.forward(piece, [next(waiting) for _ in range(count)], cache=cache))
    close(np.concatenate(parts), whole, 1e-5, "logits")
    assert cache.length == len(ids)


@pytest.mark.parametrize("shape", ["e2b", "31b"])
def test_generation_goes_on_from_an_image(shape):
    """The token after an image is the one that a pass over everything gives, with the image in the cache or not."""
    model, (ids, images) = random_gemma(shape, towers=True), case_of_three()
    new = list(model.generate(ids, 6, images, stop=()))
    for i in range(6):
        logits = model.forward([*ids, *new[:i]], images, last_only=True)
        assert logits[-1].argmax() == new[i]


def test_two_images_are_not_one():
    """Each image changes the logits from its own first token on, and not before."""
    for shape in SHAPES:
        model, (ids, images) = random_gemma(shape, towers=True), case_of_three()
        runs = image_runs(vision.token_types(ids, model.config) > 0)
        plain = model.forward(ids, images)
        for i, run in enumerate(runs):
            other = list(images)
            other[i] = 1 - images[i][0], images[i][1]
            moved = np.flatnonzero(np.abs(model.forward(ids, other) - plain).max(axis=1) > 1e-4)
            assert moved[0] == run.start, (shape, i)


@pytest.mark.parametrize(
    ("change", "placeholders", "given"),
    [
        (lambda ids, images: (ids, images[:2]), [12, 1, 5], [12, 1]),
        (lambda ids, images: (ids, [*images, images[1]]), [12, 1, 5], [12, 1, 5, 1]),
        (lambda ids, images: (ids, []), [12, 1, 5], []),
        (lambda ids, images: (ids, images[::-1]), [12, 1, 5], [5, 1, 12]),  # as many, in the wrong order
        (lambda ids, images: (ids[6:], images), [11, 1, 5], [12, 1, 5]),
        (lambda ids, images: (np.delete(ids, 8), images), [11, 1, 5], [12, 1, 5]),
        (lambda ids, images: (ids[ids < 90], images), [], [12, 1, 5]),
    ],
)
def test_wrong_numbers_of_placeholders(change, placeholders, given):
    model, (ids, images) = random_gemma("e2b", towers=True), case_of_three()
    with pytest.raises(InputError, match="placeholders") as error:
        model.forward(*change(ids, images))
    for counts in (placeholders, given):
        assert str(counts) in str(error.value)


def test_an_image_in_two_calls_is_refused():
    model, (ids, images) = random_gemma("31b", towers=True), case_of_three()
    cache = model.new_cache()
    with pytest.raises(InputError, match=r"\[5\].*\[12\]"):
        model.forward(ids[:10], images[:1], cache=cache)
    assert cache.length == 0  # nothing happened
    blind = Gemma4(dataclasses.replace(model.config, vision=None), model.weights)
    with pytest.raises(InputError, match="no vision tower"):
        blind.forward(ids, images)
