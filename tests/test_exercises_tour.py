"""The exercises of the tour accept their solutions and know typical mistakes; the map of the model is drawn."""

import numpy as np
import pytest
from exercise_tests import exercise_tests

from minigemma import PRESETS, plots
from minigemma.exercises.tour import check_embedding, check_head, check_parameters

SOLUTIONS = {
    check_embedding: lambda ids, table: table[ids] * np.sqrt(table.shape[1]),
    check_head: lambda x, table, cap: cap * np.tanh(x @ table.T / cap),
    check_parameters: lambda vocabulary, width, layers, small: vocabulary * (width + layers * small),
}
MISTAKES = [
    (check_embedding, lambda ids, table: table[ids], "√D"),
    (check_embedding, lambda ids, table: table[ids] * table.shape[1], "not D"),
    (check_head, lambda x, table, cap: x @ table.T, "cap is missing"),
    (check_head, lambda x, table, cap: np.clip(x @ table.T, -cap, cap), "soft"),
    (check_parameters, lambda vocabulary, width, layers, small: vocabulary * width, "first table only"),
    (check_parameters, lambda vocabulary, width, layers, small: vocabulary * (width + small), "for every layer"),
]

test_the_solution_is_accepted, test_a_typical_mistake_is_named, test_an_open_exercise_is_no_error = exercise_tests(
    SOLUTIONS, MISTAKES
)


@pytest.mark.parametrize("name", PRESETS)
def test_the_map_shows_what_the_model_has(name):
    config = PRESETS[name]
    figure = plots.model_map(config, {"one row of vectors": "(5, 8)"})
    said = {text.get_text() for text in figure.axes[0].texts}
    assert {"(5, 8)", "vision transformer", f"{config.text.num_hidden_layers} layers, local and global"} <= said
    assert ("Conformer" in said) == (config.audio is not None)
    assert ("feed-forward and experts" in said) == config.text.enable_moe_block
    assert ("per-layer embeddings" in said) == (config.text.hidden_size_per_layer_input > 0)
