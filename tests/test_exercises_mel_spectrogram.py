"""The exercises of notebook 11 accept their solutions and know typical mistakes."""

import numpy as np
from exercise_tests import exercise_tests

from minigemma.exercises.mel_spectrogram import check_lengths, check_log_mel, check_mel, check_span


def log_mel(frame, window, filters):
    return np.log(np.abs(np.fft.rfft(frame * window, n=512)) @ filters + 0.001)


SOLUTIONS = {
    check_lengths: lambda n: ((n - 1) // 160, -(-((n - 1) // 160) // 4)),
    check_mel: lambda hz: 2595 * np.log10(1 + hz / 700),
    check_span: lambda k: (40 * k - 40, 40 * k + 40),
    check_log_mel: log_mel,
}
MISTAKES = [
    (check_lengths, lambda n: (n // 160, -(-(n // 160) // 4)), "one sample more"),
    (check_lengths, lambda n: ((n - 1) // 160, (n - 1) // 640), "rounds up"),
    (check_lengths, lambda n: ((n - 320) // 160 + 1, -(-((n - 320) // 160 + 1) // 4)), "160 zeros"),
    (check_mel, lambda hz: 2595 * np.log(1 + hz / 700), "natural"),
    (check_mel, lambda hz: 2595 * np.log10(1 + hz / 1000), "700"),
    (check_span, lambda k: (40 * k, 40 * k + 40), "next token"),
    (check_span, lambda k: (40 * k - 30, 40 * k + 30), "10 ms further"),
    (check_span, lambda k: (4 * k - 3, 4 * k + 3), "frames"),
    (check_log_mel, lambda f, w, m: np.log(np.abs(np.fft.rfft(f * w, n=512)) ** 2 @ m + 0.001), "powers"),
    (check_log_mel, lambda f, w, m: np.log(np.maximum(np.abs(np.fft.rfft(f * w, n=512)) @ m, 0.001)), "lower bound"),
    (check_log_mel, lambda f, w, m: log_mel(f, 1, m), "faded"),
    (check_log_mel, lambda f, w, m: log_mel(f, w, m) / np.log(10), "natural"),
]

test_the_solution_is_accepted, test_a_typical_mistake_is_named, test_an_open_exercise_is_no_error = exercise_tests(
    SOLUTIONS, MISTAKES
)
