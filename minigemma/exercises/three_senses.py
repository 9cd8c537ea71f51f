"""Exercises of the notebook on three senses in one prompt."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigemma.exercises import Verdict, judge_function

IMAGE, AUDIO = 19, 22  # placeholders, as the shipped models number them
BOI, EOI, BOA, EOA = 17, 18, 20, 21
IDS = np.array([2, BOI, *[IMAGE] * 4, EOI, BOI, *[IMAGE] * 2, EOI, BOA, *[AUDIO] * 3, EOA, 313, 358])


def check_positions(function: Callable[[int, list[int], list[int]], int]) -> Verdict:
    """``function(words, images, sounds)`` -> positions; images and sounds are lists of soft token counts."""
    words, images, sounds = 17, [264, 60], [250]
    right = words + sum(images) + sum(sounds) + 2 * (len(images) + len(sounds))
    mistakes = {
        words + sum(images) + sum(sounds): "Every picture and every sound also has a mark before and a mark after it.",
        words + sum(images) + sum(sounds) + 4: "Every picture has marks of its own, not all pictures together.",
        words + sum(images) + sum(sounds) + len(images) + len(sounds): "There are two marks each: begin and end.",
        words + 3 * (len(images) + len(sounds)): "Each soft token takes a position of its own.",
    }
    good = "The marks are tokens like any other, so they take positions as well."
    return judge_function(function, (words, images, sounds), right, good, mistakes, tolerance=0)


def check_types(function: Callable[[np.ndarray], np.ndarray]) -> Verdict:
    """``function(ids)`` -> (T,) of 0 for text, 1 for image, 2 for sound; ids (T,) as in IDS."""
    right = np.where(IDS == IMAGE, 1, np.where(IDS == AUDIO, 2, 0))
    marks = right.copy()
    marks[np.isin(IDS, (BOI, EOI))], marks[np.isin(IDS, (BOA, EOA))] = 1, 2
    mistakes = [
        (marks, "The marks before and after are text: they have rows in the table, and nothing is put in their place."),
        (np.where(right == 2, 1, np.where(right == 1, 2, 0)), "1 is the picture, 2 the sound."),
        (np.minimum(right, 1), "Sound is 2: the model must know which tower's soft tokens belong where."),
    ]
    return judge_function(function, (IDS.copy(),), right, "Only placeholders count.", mistakes, tolerance=0)


def check_scatter(function: Callable[..., np.ndarray]) -> Verdict:
    """``function(ids, table, image, sound)`` -> what enters layer 0: (T, D)."""
    rng = np.random.default_rng(13)
    table, image, sound = rng.normal(size=(400, 4)), rng.normal(size=(6, 4)), rng.normal(size=(3, 4))
    root = np.sqrt(table.shape[1])
    is_image, is_sound = IDS == IMAGE, IDS == AUDIO
    words = table[IDS] * root

    def placed(x: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        x = x.copy()
        x[is_image], x[is_sound] = first, second
        return x

    unscaled = placed(table[IDS], image, sound)
    mistakes = [
        (placed(words, image * root, sound * root), "Soft tokens are not scaled: only rows of the table are, by √D."),
        (unscaled, "Rows of the table are scaled by √D."),
        (unscaled * root, "Scale the rows of the table first, then put the soft tokens in: they are not scaled."),
        (words, "The placeholders' own rows are still there."),
        (placed(words, words[is_image] + image, words[is_sound] + sound), "Soft tokens replace the rows."),
        (placed(words, image[::-1], sound), "Soft tokens go in in order: the first into the first placeholder."),
    ]
    good = "One row of vectors, and nothing in it says which was a word."
    return judge_function(function, (IDS.copy(), table, image, sound), placed(words, image, sound), good, mistakes)


def check_block_ends(function: Callable[[np.ndarray], np.ndarray]) -> Verdict:
    """``function(is_image)`` -> (T,): for an image token the position of its image's last token, else its own."""
    is_image = IDS == IMAGE
    T = len(IDS)
    right = np.arange(T)
    right[2:6], right[8:10] = 5, 9
    whole = np.arange(T)
    whole[is_image] = 9
    marks = right.copy()
    marks[1:7], marks[7:11] = 6, 10
    mistakes = [
        (whole, "There are two pictures here. Each is an unbroken run, and they do not see each other's future."),
        (marks, "The marks before and after a picture are not part of its block."),
        (np.arange(T), "That is the causal mask: in a picture the end lies later than the token itself."),
        (right + (right > np.arange(T)), "One too far: the position of the last token of the picture is meant."),
    ]
    good = "That is all that the image rule of 26B-A4B and 31B adds to a local layer."
    return judge_function(function, (is_image,), right, good, mistakes, tolerance=0)
