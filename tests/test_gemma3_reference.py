"""Gemma 3 on our decoder against the installed transformers: small random models, live."""

import copy

import numpy as np
import pytest
from gemma3_models import HUB, draw_stored, small_gemma3
from small_models import draw_ids

pytest.importorskip("transformers")
torch = pytest.importorskip("torch")
from transformers import Gemma3ForCausalLM, Gemma3TextConfig  # noqa: E402

from minigemma.config import Config  # noqa: E402
from minigemma.hub_config import to_hub  # noqa: E402
from minigemma.model import load  # noqa: E402
from minigemma.trace import Trace  # noqa: E402

pytestmark = pytest.mark.reference
WHOLE = 1e-4  # relative error
torch.set_grad_enabled(False)


def reference(shape, seed):
    """Transformers' model from the same config.json and tensors."""
    model = Gemma3ForCausalLM(Gemma3TextConfig(**copy.deepcopy(HUB[shape])))
    model.set_attn_implementation("eager")
    model.eval()
    state, stored = model.state_dict(), draw_stored(Config.from_hub(HUB[shape]), seed)
    for name, array in stored.items():
        state[name.replace("model.language_model.", "model.")].copy_(torch.from_numpy(array))
    assert {name.replace("model.language_model.", "model.") for name in stored} == set(state) - {"lm_head.weight"}
    return model


def run(model, ids):
    """Logits, hidden states and patterns under our names."""
    output = model(torch.from_numpy(ids)[None], output_hidden_states=True, output_attentions=True, use_cache=False)
    found = {f"layers.{i}.output": h[0].numpy() for i, h in enumerate(output.hidden_states[1:-1])}
    found |= {"embedding": output.hidden_states[0][0].numpy(), "final_norm": output.hidden_states[-1][0].numpy()}
    found |= {f"layers.{i}.attention.pattern": a[0].numpy() for i, a in enumerate(output.attentions)}
    return found | {"logits": output.logits[0].numpy()}


@pytest.mark.parametrize("shape", HUB)
@pytest.mark.parametrize("length", [1, 5, 6, 43])
def test_every_step(shape, length, close):
    """Shorter than the window, as long, one longer, many times as long."""
    ids, trace = draw_ids(length, seed=3), Trace()
    small_gemma3(shape, seed=4).forward(ids, trace=trace)
    for name, array in run(reference(shape, seed=4), ids).items():
        close(trace[name], array, WHOLE, name)


@pytest.mark.parametrize("shape", HUB)
def test_cached_in_chunks(shape, close):
    ids, ours = draw_ids(43, seed=6), small_gemma3(shape, seed=7)
    cache, logits, start = ours.new_cache(), [], 0
    for count in (11, 1, 1, 20, 10):
        logits.append(ours.forward(ids[start : start + count], cache=cache))
        start += count
    close(np.concatenate(logits), run(reference(shape, seed=7), ids)["logits"], WHOLE, "logits")


@pytest.mark.parametrize("shape", HUB)
def test_greedy_continuation(shape):
    ids = draw_ids(9, seed=8)
    expected = reference(shape, seed=9).generate(
        torch.from_numpy(ids)[None], max_new_tokens=20, min_new_tokens=20, do_sample=False, eos_token_id=None
    )
    assert list(small_gemma3(shape, seed=9).generate(ids, 20, stop=())) == expected[0, len(ids) :].tolist()


@pytest.mark.parametrize("shape", HUB)
def test_our_config_files_are_read(shape):
    theirs = Gemma3TextConfig(**to_hub(Config.from_hub(HUB[shape])))
    for name in ("query_pre_attn_scalar", "sliding_window", "final_logit_softcapping", "eos_token_id"):
        assert getattr(theirs, name) == HUB[shape].get(name), name
    assert theirs.layer_types == list(Config.from_hub(HUB[shape]).text.layer_types)
    assert {kind: rope["rope_theta"] for kind, rope in theirs.rope_parameters.items()} == {
        kind: rope["rope_theta"] for kind, rope in reference(shape, seed=0).config.rope_parameters.items()
    }


@pytest.mark.parametrize("shape", HUB)
def test_saved_checkpoints_load(shape, tmp_path, close):
    """What transformers writes is what we read."""
    model, ids = reference(shape, seed=10), draw_ids(17, seed=11)
    model.save_pretrained(tmp_path)
    ours = load(tmp_path)
    assert ours.config.text == Config.from_hub(HUB[shape]).text
    close(ours.forward(ids), run(model, ids)["logits"], WHOLE, "logits")
