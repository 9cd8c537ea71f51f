"""Per-layer embeddings: one row of a table cut into layers, mixed with the context, and what a layer adds."""

import numpy as np
from small_models import TEXT

from minigemma.checkpoint import Weights
from minigemma.ops import gelu, rms_norm
from minigemma.ple import inject, per_layer_inputs
from minigemma.trace import Trace

D, L, P, V, EPS = 24, 5, 7, 30, 1e-6
RNG = np.random.default_rng(0)
TABLES = Weights.of(
    {
        "embed_tokens_per_layer.weight": RNG.normal(size=(V, L * P)),
        "per_layer_model_projection.weight": RNG.normal(size=(L * P, D)),
        "per_layer_projection_norm.weight": RNG.uniform(0.5, 1.5, P),
    }
)
IDS = np.array([3, 0, 29, 3])
X = RNG.normal(size=(4, D)).astype(np.float32)


def test_token_and_context_part_one_layer_at_a_time(close):
    """Columns lie layer by layer; the token part is scaled by sqrt(P), the context part by 1/sqrt(D), then normed.

    (With a large eps: else the norm would hide the scale before it.)
    """
    trace, eps = Trace(), 0.3
    found = per_layer_inputs(IDS, X, TABLES, L, eps, trace)
    assert found.shape == (4, L, P)
    for i in range(L):
        columns = slice(i * P, (i + 1) * P)
        token = TABLES["embed_tokens_per_layer.weight"][IDS, columns] * np.sqrt(P)
        context = X @ TABLES["per_layer_model_projection.weight"][columns].T / np.sqrt(D)
        context = rms_norm(context, TABLES["per_layer_projection_norm.weight"], eps)
        close(trace["token_part"][:, i], token, 1e-6, "token part")
        close(trace["context_part"][:, i], context, 1e-5, "context part")
        close(found[:, i], (token + context) / np.sqrt(2), 1e-5, "both")
    np.testing.assert_array_equal(trace["inputs"], found)


def test_the_token_part_is_sixteen_times_the_table_in_the_released_models():
    wide = Weights.of({**TABLES, "embed_tokens_per_layer.weight": np.ones((2, L * 256)),
                       "per_layer_model_projection.weight": np.zeros((L * 256, D)),
                       "per_layer_projection_norm.weight": np.ones(256)})  # fmt: skip
    np.testing.assert_allclose(per_layer_inputs(IDS[:1] * 0, X[:1], wide, L, EPS), 16 / np.sqrt(2), rtol=1e-6)


def test_only_the_rows_asked_for_are_read():
    class Table(dict):
        def __getitem__(self, name):
            assert name != "embed_tokens_per_layer.weight", "the whole table was read"
            return super().__getitem__(name)

        def rows(self, name, ids):
            asked.append(ids.tolist())
            return dict.__getitem__(self, name)[ids]

    asked: list = []
    per_layer_inputs(IDS, X, Weights(Table(TABLES)), L, EPS)
    assert asked == [IDS.tolist()]


def test_inject(close):
    """Activation on the gate first, then times the layer's vector, up to the model's width, and normed."""
    weights = Weights.of(
        {
            "per_layer_input_gate.weight": RNG.normal(size=(P, D)),
            "per_layer_projection.weight": RNG.normal(size=(D, P)),
            "post_per_layer_input_norm.weight": RNG.uniform(0.5, 1.5, D),
        }
    )
    ple, trace = RNG.normal(size=(4, P)).astype(np.float32), Trace()
    gate = gelu(X @ weights["per_layer_input_gate.weight"].T)
    added = (gate * ple) @ weights["per_layer_projection.weight"].T
    expected = rms_norm(added, weights["post_per_layer_input_norm.weight"])
    close(inject(X, ple, weights, EPS, trace), expected, 1e-5, "added")
    close(trace["gate"], gate, 1e-5, "gate")
    assert list(trace) == ["gate", "added"]


def test_small_models_have_them_where_the_family_does():
    assert [bool(text.hidden_size_per_layer_input) for text in TEXT.values()] == [True, True, False, False]
