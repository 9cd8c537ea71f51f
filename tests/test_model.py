"""The whole model without torch: the cache in use, the last position alone, images in conversations, refused input."""

import numpy as np
import pytest
from small_models import SHAPES, SPECIAL, draw_ids, draw_image, draw_weights, media_prompt, random_gemma, small_config

from minigemma import decoder, naive
from minigemma.checkpoint import Weights
from minigemma.errors import CheckpointError, InputError
from minigemma.model import Gemma4
from minigemma.parameters import tensor_shapes
from minigemma.trace import Trace

IDS = draw_ids(29, seed=1)  # several windows


def same(ours, expected):
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


# --- the cache -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_bytes_of_a_cache_in_use(shape):
    from minigemma.cache import cache_bytes

    model = random_gemma(shape)
    cache = model.new_cache()
    assert cache.nbytes == 0
    for piece in (IDS[:3], IDS[3:20], IDS[20:21]):
        model.forward(piece, cache=cache)
        assert cache.nbytes == cache_bytes(model.config.text, cache.length, bytes_per_value=4)
    assert cache.length == 21


@pytest.mark.parametrize("shape", SHAPES)
def test_a_pass_that_fails_leaves_the_cache_as_it_was(shape, monkeypatch):
    """Whatever is raised, wherever: the next pass continues as if nothing had been tried."""
    model = random_gemma(shape)
    expected, cache = model.forward(IDS)[20:], model.new_cache()
    model.forward(IDS[:20], cache=cache)

    plain, last = decoder.layer, model.config.text.num_hidden_layers - 1
    for stop in (0, 4, last):

        def broken(x, spec, *rest, stop=stop):
            if spec.index == stop:
                raise KeyboardInterrupt
            return plain(x, spec, *rest)

        monkeypatch.setattr(decoder, "layer", broken)
        with pytest.raises(KeyboardInterrupt):
            model.forward(draw_ids(17, seed=stop), cache=cache)
        monkeypatch.setattr(decoder, "layer", plain)
    for wrong in ([], [10_000], [SPECIAL["image_token_id"]]):
        with pytest.raises(InputError):
            model.forward(wrong, cache=cache)
    with pytest.raises(CheckpointError, match="NaN"):
        model.forward(IDS[:2], cache=cache, trace=Trace(edit={"layers.3.output": lambda x: x * np.nan}))
    assert cache.length == 20
    same(model.forward(IDS[20:], cache=cache), expected)


def test_the_cache_of_another_model_is_refused():
    cache = random_gemma("31b").new_cache()
    with pytest.raises(InputError, match=r"cache was made by another model.*new_cache\(\)"):
        random_gemma("26b").forward(IDS, cache=cache)
    again = Gemma4(small_config("31b"), random_gemma("31b").weights)  # loaded twice: the same model
    again.forward(IDS, cache=cache)


@pytest.mark.parametrize("shape", SHAPES)
def test_generating_is_running_the_whole_text_anew(shape):
    """With the cache as without it; past the window, from a prompt of one token too."""
    model = random_gemma(shape)
    for prompt in (IDS[:1], IDS[:12]):
        assert list(model.generate(prompt, 20, stop=())) == naive.generate(model, prompt, 20)


def test_a_placeholder_that_was_generated_counts_as_padding():
    """Nothing was given to stand for it. The reference goes on with the pad id in its place too."""
    model = random_gemma("e2b")
    weights = {name: array.copy() for name, array in model.weights._source.items()}
    table = weights["model.language_model.embed_tokens.weight"]
    table[SPECIAL["audio_token_id"]] = table[int(model.forward(IDS)[-1].argmax())] * 4  # now this is the likeliest
    model = Gemma4(model.config, Weights.of(weights).under("model."))
    first, *rest = model.generate(IDS, 4, stop=())
    assert first == SPECIAL["audio_token_id"]
    assert rest[0] == model.forward([*IDS, model.config.text.pad_token_id])[-1].argmax()


# --- the last position alone -----------------------------------------------------------------------------------------


@pytest.fixture
def rows_per_layer(monkeypatch):
    """How many rows each layer was run on."""
    seen, plain = [], decoder.layer

    def counting(x, *rest):
        seen.append(len(x))
        return plain(x, *rest)

    monkeypatch.setattr(decoder, "layer", counting)
    return seen


@pytest.mark.parametrize("shape", SHAPES)
def test_layers_that_share_run_for_the_last_position_only(shape, rows_per_layer):
    model, T = random_gemma(shape), len(IDS)
    own, layers = model.config.text.first_shared_layer, model.config.text.num_hidden_layers
    expected = model.forward(IDS)[-1:]
    assert rows_per_layer == [T] * layers
    for cache in (None, model.new_cache()):
        rows_per_layer.clear()
        logits = model.forward(IDS, cache=cache, last_only=True)
        assert rows_per_layer == [T] * own + [1] * (layers - own)
        assert logits.shape == (1, model.config.text.vocab_size)
        same(logits, expected)
    same(model.forward([5], cache=cache), model.forward([*IDS, 5])[-1:])  # what the pass left behind is whole


def test_a_trace_shows_every_position_also_when_the_last_is_wanted():
    model, trace = random_gemma("e2b"), Trace("layers.11.output")
    logits = model.forward(IDS, last_only=True, trace=trace)
    assert trace["layers.11.output"].shape[0] == len(IDS)
    same(logits, model.forward(IDS)[-1:])


@pytest.mark.parametrize("shape", ["e2b", "26b"])
def test_the_last_position_of_a_prompt_with_images(shape):
    model = random_gemma(shape, towers=True)
    ids, images, audio = media_prompt(shape, seed=4)
    same(model.forward(ids, images, audio, last_only=True), model.forward(ids, images, audio)[-1:])


# --- images and sounds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["e2b", "26b", "31b"])
def test_a_conversation_about_images_is_one_text(shape):
    """In pieces cut between images, right before one and right after one; also where images are seen whole."""
    model = random_gemma(shape, towers=True)
    ids, images, audio = media_prompt(shape, seed=5)
    whole = model.forward(ids, images, audio)
    is_image = ids == SPECIAL["image_token_id"]
    before, after = (
        np.flatnonzero(np.diff(is_image.astype(int)) == 1) + 1,
        np.flatnonzero(np.diff(is_image.astype(int)) == -1) + 1,
    )
    for cut in (before[0], after[0], before[1], after[1]):
        cache, given = model.new_cache(), int(np.sum(after <= cut))
        first = model.forward(ids[:cut], images[:given], cache=cache)
        rest = model.forward(ids[cut:], images[given:], audio, cache=cache)
        same(np.concatenate([first, rest]), whole)


@pytest.mark.parametrize("shape", ["e2b", "26b"])
def test_an_image_is_not_split_between_two_calls(shape):
    model = random_gemma(shape, towers=True)
    image, more = draw_image(12, 6, seed=0), draw_image(6, 6, seed=1)  # 8 and 4 soft tokens
    place = SPECIAL["image_token_id"]
    cache = model.new_cache()
    for ids, images in (
        ([1, *[place] * 5], [image]),
        ([1, *[place] * 5], []),
        ([*[place] * 3, 1], []),
        ([1, *[place] * 4, 2, *[place] * 8], [image, more]),  # as many in all, in the wrong order
        ([1, *[place] * 6, 2, *[place] * 6], [image, more]),
        ([1, 2], [image]),
    ):
        with pytest.raises(InputError, match=r"runs of image placeholders .* all of it in one call"):
            model.forward(ids, images, cache=cache)
    assert cache.length == 0
    model.forward([1, *[place] * 12], [image, more], cache=cache)  # side by side in one run is fine
    assert cache.length == 13


def test_sounds_and_images_that_the_checkpoint_cannot_take():
    image = draw_image(3, 3, seed=0)
    with pytest.raises(InputError, match="no vision tower"):
        random_gemma("e2b").forward([SPECIAL["image_token_id"]], [image])
    with pytest.raises(InputError, match="no audio tower"):
        random_gemma("26b", towers=True).forward([SPECIAL["audio_token_id"]], audio=[np.zeros((4, 128), np.float32)])


@pytest.mark.parametrize("shape", ["e2b", "26b"])
def test_where_soft_tokens_stand_the_ids_do_not_matter(shape):
    """Image or video placeholder: the pad row of both tables, the same mask."""
    model = random_gemma(shape, towers=True)
    ids, images, audio = media_prompt(shape, seed=6)
    as_video = np.where(ids == SPECIAL["image_token_id"], SPECIAL["video_token_id"], ids)
    np.testing.assert_array_equal(model.forward(as_video, images, audio), model.forward(ids, images, audio))


# --- input that is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "non-empty"),
        (5, "non-empty list of ids; got an array of shape \\(\\)"),
        ([[1, 2]], "shape \\(1, 2\\)"),
        ([[1], [2, 3]], "lists of different lengths"),
        ([1.0, 2.0], "integers; got float64"),
        (["a"], "integers; got <U1"),
        ("abc", "list of ids"),
        ([True], "integers; got bool"),
        ([None], "integers; got object"),
        ([1, -1], "token id -1 at position 1 is outside the vocabulary of 97 \\(0 to 96\\)"),
        ([97], "token id 97 at position 0"),
        ([2**70], "integers; got object"),
        (np.zeros(513, int), "513 tokens do not fit into this model's context of 512$"),
    ],
)
def test_token_ids_that_are_none(ids, message):
    for call in (random_gemma("e2b").forward, random_gemma("e2b").generate):
        with pytest.raises(InputError, match=message):
            call(ids)


def test_the_context_ends_also_in_a_cache():
    model = random_gemma("e4b")
    cache = model.new_cache()
    model.forward(np.zeros(510, int), cache=cache, last_only=True)
    with pytest.raises(InputError, match=r"513 tokens do not fit .* of 512 \(510 are in the cache already\)"):
        model.forward([1, 2, 3], cache=cache)
    assert len(list(model.generate([1], 99, cache=cache, stop=()))) == 2  # and generating ends there


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int64, list, tuple])
def test_token_ids_of_any_integer_kind(dtype):
    model = random_gemma("e2b")
    ids = dtype(IDS) if dtype in (list, tuple) else IDS.astype(dtype)
    np.testing.assert_array_equal(model.forward(ids), model.forward(IDS))
    assert model.forward(ids).dtype == np.float32


def test_weights_that_are_not_numbers_are_named():
    config = small_config("e2b")
    weights = draw_weights(tensor_shapes(config), 0)
    weights["model.language_model.layers.3.mlp.up_proj.weight"][1, 2] = np.nan
    model = Gemma4(config, Weights.of(weights).under("model."))
    with pytest.raises(CheckpointError, match=r"NaN .*layers.3.mlp.up_proj.weight \(1 NaN"):
        model.forward(IDS)


def test_a_model_made_of_arrays_has_no_tokenizer():
    with pytest.raises(CheckpointError, match="no tokenizer"):
        _ = random_gemma("e2b").tokenizer


@pytest.mark.parametrize("shape", SHAPES)
def test_logits_are_read_off_the_embedding_table_and_capped(shape):
    model, trace = random_gemma(shape), Trace("final_norm")
    logits = model.forward(IDS, trace=trace)
    raw = trace["final_norm"].astype(np.float64) @ model.text_weights["embed_tokens.weight"].T.astype(np.float64)
    same(logits, 30 * np.tanh(raw / 30))
    assert np.abs(raw).max() > 3  # far enough for the cap to show
