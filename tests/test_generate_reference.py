"""The distribution of the next token equals what transformers' logits processors make, in its order."""

from types import SimpleNamespace

import numpy as np
import pytest

from minigemma.generate import next_token_probabilities

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.reference

OPTIONS = [
    (1.0, None, None),
    (0.7, None, None),
    (1.0, 5, None),
    (1.3, None, 0.8),
    (1.0, 64, 0.95),
    (0.4, 3, 0.5),
    (2.0, 1, 0.1),
]


@pytest.mark.parametrize(("temperature", "top_k", "top_p"), OPTIONS)
@pytest.mark.parametrize("kind", ["random", "ties", "flat"])
def test_logits_processors(temperature, top_k, top_p, kind):
    random = np.random.default_rng(0)
    processors = transformers.LogitsProcessorList([transformers.TemperatureLogitsWarper(temperature)])
    if top_k:
        processors.append(transformers.TopKLogitsWarper(top_k))
    if top_p:
        processors.append(transformers.TopPLogitsWarper(top_p))
    for _ in range(20):
        logits = random.normal(0, 3, 300).astype(np.float32)
        logits = {"random": logits, "ties": logits.round(), "flat": logits / 1000}[kind]
        scores = processors(torch.zeros(1, 1, dtype=torch.long), torch.from_numpy(logits)[None].double())
        expected = torch.softmax(scores, -1)[0].numpy()
        ours = next_token_probabilities(logits, temperature, top_k, top_p)
        if kind == "ties":  # which of equals top-p drops is not defined there: its sort is not stable
            ours, expected = np.sort(ours), np.sort(expected)
        np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-12)


def test_the_order_is_that_of_generate():
    config = transformers.GenerationConfig(do_sample=True, temperature=0.5, top_k=5, top_p=0.9, suppress_tokens=[3])
    config._eos_token_tensor = torch.tensor([1])
    model = object.__new__(transformers.GenerationMixin)  # no weights are needed to ask for the order
    model.device, model.config = "cpu", SimpleNamespace(is_encoder_decoder=False)
    names = [type(step).__name__ for step in model._get_logits_processor(config, input_ids_seq_length=1)]
    assert names == ["SuppressTokensLogitsProcessor", "TemperatureLogitsWarper", "TopKLogitsWarper", "TopPLogitsWarper"]
