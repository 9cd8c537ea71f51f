"""The exercises of notebook 13 accept their solutions and know typical mistakes."""

import numpy as np
from exercise_tests import exercise_tests

from minigemma.exercises.three_senses import AUDIO, IMAGE, check_block_ends, check_positions, check_scatter, check_types
from minigemma.interleaving import image_block_ends


def scatter(ids, table, image, sound):
    x = table[ids] * np.sqrt(table.shape[1])
    x[ids == IMAGE], x[ids == AUDIO] = image, sound
    return x


def scaled_too(ids, table, image, sound):
    root = np.sqrt(table.shape[1])
    return scatter(ids, table, image * root, sound * root)


def one_block(is_image):
    ends = np.arange(len(is_image))
    ends[is_image] = np.flatnonzero(is_image)[-1]
    return ends


SOLUTIONS = {
    check_positions: lambda words, images, sounds: sum((words, *images, *sounds)) + 2 * (len(images) + len(sounds)),
    check_types: lambda ids: 1 * (ids == IMAGE) + 2 * (ids == AUDIO),
    check_scatter: scatter,
    check_block_ends: image_block_ends,
}
MISTAKES = [
    (check_positions, lambda words, images, sounds: words + sum(images) + sum(sounds), "mark before"),
    (check_positions, lambda words, images, sounds: words + sum(images) + sum(sounds) + 4, "marks of its own"),
    (check_types, lambda ids: 1 * ((ids >= 17) & (ids <= 19)) + 2 * ((ids >= 20) & (ids <= 22)), "are text"),
    (check_types, lambda ids: 2 * (ids == IMAGE) + 1 * (ids == AUDIO), "1 is the picture"),
    (check_scatter, scaled_too, "not scaled"),
    (check_scatter, lambda ids, table, image, sound: table[ids] * 2, "still there"),
    (check_block_ends, one_block, "two pictures"),
    (check_block_ends, lambda is_image: np.arange(len(is_image)), "causal"),
]

test_the_solution_is_accepted, test_a_typical_mistake_is_named, test_an_open_exercise_is_no_error = exercise_tests(
    SOLUTIONS, MISTAKES
)
