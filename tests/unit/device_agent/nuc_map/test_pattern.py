"""The gain of one colour plane, and how alike two of them are."""

from __future__ import annotations

import numpy as np
import pytest

from device_agent.nuc_map.format import DEFECTIVE, GAIN_ONE
from device_agent.nuc_map.pattern import correlation, gain_of, local_mean


def test_the_pattern_has_neither_light_nor_shading_nor_slant_in_it() -> None:
    y, x = np.mgrid[0:600, 0:800].astype(np.float32)
    lit = 20000 * (1 - ((x - 400) ** 2 + (y - 300) ** 2) / 6e5) * (1 + x / 3000)
    assert np.abs(gain_of(lit).astype(int) - GAIN_ONE).max() <= 0.001 * GAIN_ONE


def test_a_slope_stays_a_slope_up_to_the_border() -> None:
    y, x = np.mgrid[0:60, 0:70].astype(np.float32)
    slope = 1000 + 3 * x + 7 * y
    assert np.allclose(local_mean(slope), slope, rtol=1e-6)


def test_the_local_mean_is_the_mean_of_the_neighbourhood() -> None:
    field = np.random.default_rng(0).normal(100, 5, (80, 90)).astype(np.float32)
    mean = local_mean(field)
    assert np.isclose(mean[40, 45], field[24:57, 29:62].mean(), rtol=1e-5)
    assert np.isclose(mean[3, 45], field[0:7, 29:62].mean(), rtol=1e-5)
    assert mean[0, 0] == pytest.approx(field[0, 0], rel=1e-5)


def test_pixels_that_do_not_answer_to_light_are_defective() -> None:
    answer = np.full((50, 50), 8000, np.float32)
    answer[10, 10], answer[20, 20], answer[30, 30], answer[40, 40] = 0, 20000, -5, 8100
    gain = gain_of(answer)
    assert [gain[n, n] for n in (10, 20, 30)] == [DEFECTIVE] * 3
    assert gain[40, 40] == pytest.approx(GAIN_ONE * 80 / 81, rel=0.002)
    assert np.count_nonzero(gain == DEFECTIVE) == 3


def test_correlation_of_nothing_is_nothing() -> None:
    flat, defective = np.full((9, 9), GAIN_ONE, np.uint16), np.zeros((9, 9), np.uint16)
    assert correlation(flat, flat) == 0
    assert correlation(defective, defective) == 0


def test_row_and_column_means_do_not_count_and_the_pixels_own_pattern_does() -> None:
    noise = np.random.default_rng(0)
    lines = noise.normal(0, 500, (60, 1)) + noise.normal(0, 500, (1, 80))
    own = noise.normal(0, 100, (60, 80))
    one, same, other = (
        (GAIN_ONE + lines + pixels).astype(np.uint16) for pixels in (own, own, noise.normal(0, 100, (60, 80)))
    )
    assert correlation(one, same) == pytest.approx(1, abs=1e-4)
    assert abs(correlation(one, other)) < 0.1
