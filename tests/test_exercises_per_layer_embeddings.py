"""The exercises of notebook 07 accept their solutions and know typical mistakes."""

import numpy as np
from exercise_tests import exercise_tests

from minigemma.exercises.per_layer_embeddings import check_bytes, check_gate, check_mix, check_vector

SOLUTIONS = {
    check_bytes: lambda layers, width: 2 * layers * width,
    check_vector: lambda row, layer, layers: row.reshape(layers, -1)[layer],
    check_mix: lambda row, context: (row * np.sqrt(len(row)) + context) / np.sqrt(2),
    check_gate: lambda x, vector, gate, project, gelu: project @ (gelu(gate @ x) * vector),
}
MISTAKES = [
    (check_bytes, lambda layers, width: layers * width, "two bytes"),
    (check_bytes, lambda layers, width: 2 * width, "one layer's vector"),
    (check_vector, lambda row, layer, layers: row[layer::layers], "layer by layer"),
    (check_vector, lambda row, layer, layers: row.reshape(layers, -1)[layer - 1], "from 0"),
    (check_mix, lambda row, context: (row + context) / np.sqrt(2), "√P"),
    (check_mix, lambda row, context: (row * np.sqrt(len(row)) + context) / 2, "not by 2"),
    (check_gate, lambda x, vector, gate, project, gelu: project @ (gate @ x * vector), "GELU"),
    (check_gate, lambda x, vector, gate, project, gelu: project @ gelu(gate @ x), "is missing"),
]

test_the_solution_is_accepted, test_a_typical_mistake_is_named, test_an_open_exercise_is_no_error = exercise_tests(
    SOLUTIONS, MISTAKES
)
