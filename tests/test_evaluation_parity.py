"""The shipped checkpoints in NumPy and in transformers: the same numbers at every layer, the same greedy answers."""

import numpy as np
import pytest

from minigemma.gallery import SAMPLES, Studio
from minigemma.model import find_checkpoint, load, shipped_names
from minigemma.prompt import make_prompt

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from reference import reference_generate, reference_run  # noqa: E402

from minigemma.trace import Trace  # noqa: E402

pytestmark = pytest.mark.reference
TOLERANCE = 1e-4
SHIPPED = ("mini-31b", "mini-a4b", "mini-e")
CASES = [("mini-e", name) for name in ("sentence", "story", "scene", "digits", "command", "both", "recorded")]
CASES += [(model, name) for model in ("mini-a4b", "mini-31b") for name in ("sentence", "story", "scene", "digits")]


def test_all_are_shipped():
    assert shipped_names() == list(SHIPPED)


@pytest.fixture(scope="module")
def models():
    """Our model and the reference's, by name."""
    kept = {}

    def get(name):
        if name not in kept:
            reference = transformers.Gemma4ForConditionalGeneration.from_pretrained(
                find_checkpoint(name), dtype=torch.float32, attn_implementation="eager"
            ).eval()
            kept[name] = load(name), reference
        return kept[name]

    return get


@pytest.mark.parametrize(("name", "sample"), CASES)
def test_numbers_and_answers(name, sample, models, close):
    ours, reference = models(name)
    told = Studio().samples[sample]
    images, audio = ([SAMPLES / file for file in told.get(kind, [])] for kind in ("images", "audio"))
    prompt = make_prompt(ours, told["text"], images, audio)

    trace = Trace("layers.*.output", "layers.*.attention.pattern", "layers.*.moe.*", "ple.inputs", "logits")
    ours.forward(**prompt._asdict(), trace=trace)
    ids, media = prompt.token_ids, {"images": prompt.images, "audio": prompt.audio}
    expected = reference_run(reference, ids, **media)
    for key in trace:
        if key.endswith("expert_index"):
            np.testing.assert_array_equal(np.sort(trace[key]), np.sort(expected[key]), err_msg=key)
        else:
            close(trace[key], expected[key], TOLERANCE, key)
    assert len(trace) > 2 * len(ours.schedule)

    said = list(ours.generate(**prompt._asdict(), max_new_tokens=12, stop=()))
    assert said == reference_generate(reference, ids, 12, **media)
