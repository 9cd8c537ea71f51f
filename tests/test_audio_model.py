"""Sounds inside the whole model: several of them, between images and text, without torch and against the reference."""

import dataclasses

import numpy as np
import pytest
from make_goldens_audio import RECORDED
from small_models import SPECIAL, draw_ids, draw_image, draw_mel, draw_weights, small_config

from minigemma import audio
from minigemma.checkpoint import Weights
from minigemma.errors import InputError
from minigemma.model import Gemma4
from minigemma.parameters import tensor_shapes
from minigemma.trace import Trace

FRAMES = (37, 3, 101)  # 10 tokens, less than a chunk; one token; 26 tokens, two chunks and a bit


def mixed_prompt(seed=4, frames=FRAMES):
    """Text, sound, text, image, sound right after it, text, image, sound, text: ids (T,), images, sounds."""
    images = [draw_image(6, 3, seed), draw_image(3, 6, seed + 1)]  # 2 soft tokens each
    sounds = [draw_mel(n, seed + i) for i, n in enumerate(frames)]
    text = iter(draw_ids(40, seed))
    take = lambda n: [int(next(text)) for _ in range(n)]  # noqa: E731
    wrap = lambda kind, n: [  # noqa: E731
        SPECIAL[f"bo{kind[0]}_token_id"], *[SPECIAL[f"{kind}_token_id"]] * n, SPECIAL[f"eo{kind[0]}_token_id"]
    ]  # fmt: skip
    one, two, three = (wrap("audio", audio.soft_token_count(n)) for n in frames)
    ids = [*take(3), *one, *take(2), *wrap("image", 2), *two, *take(4), *wrap("image", 2), *three, *take(5)]
    return np.array(ids), images, sounds


@pytest.fixture(scope="module")
def model():
    config = small_config("e2b", towers=True)
    weights = draw_weights(tensor_shapes(config), seed=6)
    return Gemma4(config, Weights.of(weights).under("model."))


def test_soft_tokens_stand_in_order_where_the_placeholders_are(model):
    ids, images, sounds = mixed_prompt()
    trace = Trace()
    model.forward(ids, images, sounds, trace=trace)
    expected = np.concatenate([model.encode_audio(mel) for mel in sounds])
    places = ids == model.config.audio_token_id
    np.testing.assert_allclose(trace["embedding"][places], expected, rtol=1e-5, atol=1e-5)  # traced in other steps
    for i, mel in enumerate(sounds):
        assert trace[f"audio.{i}.soft_tokens"].shape == (audio.soft_token_count(len(mel)), 48)


def test_per_layer_embedding_at_sounds_is_the_pad_row_and_the_sound_itself(model):
    ids, images, sounds = mixed_prompt()
    trace = Trace()
    model.forward(ids, images, sounds, trace=trace)
    places = ids == model.config.audio_token_id
    token_part = trace["ple.token_part"][places]  # (n, L, P)
    pad = model.text_weights["embed_tokens_per_layer.weight"][0].reshape(token_part.shape[1:])
    assert np.allclose(token_part, pad * np.sqrt(pad.shape[-1]), rtol=1e-6)
    assert pad.any()
    other = Trace()
    model.forward(ids, images, [mel + 1 for mel in sounds], trace=other)
    changed = (other["ple.context_part"] != trace["ple.context_part"]).any(axis=(1, 2))
    assert np.array_equal(changed, places)  # the context part is made from what was merged in


def test_a_sound_is_read_causally(model):
    """The last sound changes nothing before it, and inside it only what comes later."""
    ids, images, sounds = mixed_prompt()
    logits = model.forward(ids, images, sounds)
    later = sounds[2].copy()
    later[60:] += 1  # token 14 on hears frame 60
    changed = model.forward(ids, images, [*sounds[:2], later])
    start = np.flatnonzero(ids == model.config.audio_token_id)[11]  # of the third sound, after 10 and 1 tokens
    moved = np.flatnonzero((changed != logits).any(axis=1))
    assert moved[0] >= start + 14
    assert moved[-1] == len(ids) - 1


def test_a_sound_in_the_cache(model, close):
    ids, images, sounds = mixed_prompt()
    whole = model.forward(ids, images, sounds)
    placeholders = np.flatnonzero(ids == model.config.audio_token_id)
    cut = placeholders[11] - 1  # before the third sound
    cache = model.new_cache()
    parts = [model.forward(ids[:cut], images, sounds[:2], cache=cache)]
    parts += [model.forward(ids[cut:], (), sounds[2:], cache=cache)]
    close(np.concatenate(parts), whole, 1e-5, "logits")


def test_what_does_not_fit(model):
    ids, images, sounds = mixed_prompt()
    with pytest.raises(InputError, match=r"\[10, 1, 26\].* \[10, 1\]"):
        model.forward(ids, images, sounds[:2])
    with pytest.raises(InputError, match=r"\(frames, 128\)"):
        model.forward(ids, images, [mel[:, :80] for mel in sounds])
    deaf = Gemma4(dataclasses.replace(model.config, audio=None), model.weights)
    with pytest.raises(InputError, match="no audio tower"):
        deaf.forward(ids, images, sounds)


# ---- against the reference --------------------------------------------------------------------------------------


@pytest.mark.reference
@pytest.mark.parametrize("shape", ["e2b", "e4b"])
def test_sounds_and_images_step_by_step(shape, close):
    pytest.importorskip("transformers")
    from reference import random_model, reference_run, twin

    ids, images, sounds = mixed_prompt()
    model = random_model(shape, seed=8, towers=True)
    expected, trace = reference_run(model, ids, images, sounds), Trace()
    logits = twin(model).forward(ids, images, sounds, trace=trace)
    close(logits, expected["logits"], 1e-4, "logits")
    for name in ("embedding", "ple.token_part", "ple.context_part", "ple.inputs", "layers.0.output", "final_norm"):
        close(trace[name], expected[name], 1e-4, name)


@pytest.mark.reference
def test_recordings_to_soft_tokens_and_logits(close):
    """From the waveforms on, each side with its own mel: a recorded sentence and its first 0.6 s, in one prompt."""
    pytest.importorskip("transformers")
    import torch
    from make_goldens_audio import reference_mel
    from reference import random_model, reference_inputs, twin

    wave, rate = audio.load(RECORDED)
    waves = [wave, wave[:9_700]]
    ours = [audio.log_mel(part, rate) for part in waves]  # 298 and 60 frames: 75 and 15 tokens
    model = random_model("e2b", seed=3, towers=True)
    ids, text = [], iter(draw_ids(20, 3).reshape(5, 4).tolist())
    for mel in ours:
        tokens = [SPECIAL["audio_token_id"]] * audio.soft_token_count(len(mel))
        ids += [*next(text), SPECIAL["boa_token_id"], *tokens, SPECIAL["eoa_token_id"]]
    ids += next(text)

    mels, masks = (np.stack(parts) for parts in reference_mel(*waves))
    inputs = reference_inputs(model, ids)
    inputs |= {"input_features": torch.from_numpy(mels), "input_features_mask": torch.from_numpy(masks)}
    soft = model.model.get_audio_features(inputs["input_features"], inputs["input_features_mask"])
    kept = soft.pooler_output[soft.attention_mask].numpy()
    assert masks.sum(axis=1).tolist() == [298, 60]
    assert mels.shape[1] > 298  # padding adds a frame, which the mask takes away
    gemma = twin(model)
    close(np.concatenate([gemma.encode_audio(mel) for mel in ours]), kept, 1e-4, "soft tokens")
    expected = model(**inputs, use_cache=False).logits[0].numpy()
    close(gemma.forward(ids, audio=ours), expected, 1e-4, "logits")
