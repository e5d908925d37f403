"""Fitted temperatures against hand-checked values."""

import numpy as np
import pytest

from brats_mm.metrics.operating_point import count_logits
from brats_mm.metrics.temperature import (
    INSIDE_TEMPERATURES,
    TEMPERATURES,
    fit_inside_temperature,
    fit_temperature,
    inside_cross_entropy,
)


def drawn(factor, shift=0.0, count=200_000):
    """Draw voxels of true logit z for which the model gives `factor z + shift`."""
    rng = np.random.default_rng(0)
    logits = rng.uniform(-2.5, 2.5, count)
    truth = rng.random(count) < 1 / (1 + np.exp(-logits))
    message = 1 / (1 + np.exp(-(factor * logits + shift)))
    return count_logits(message.astype(np.float32), truth)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_recovers_temperature_of_overconfident_model(factor):
    temperature, saved = fit_temperature([drawn(factor)], 0.0)
    assert temperature == pytest.approx(factor, rel=0.03)
    assert (saved > 0.005) == (factor != 1.0)


def test_subtracts_offset_before_fitting():
    assert fit_temperature([drawn(2.0, shift=0.8)], 0.8)[0] == pytest.approx(2.0, rel=0.03)


def test_counts_of_cases_add_up():
    one, two = drawn(2.0, count=1000), drawn(0.5, count=300_000)
    assert fit_temperature([one, two], 0.0)[0] == pytest.approx(0.5, rel=0.05)


def test_three_voxels_by_hand():
    """Two of three voxels at a logit of 2.025 are right: T = 2.025 / ln 2."""
    counts = count_logits(np.full(3, 1 / (1 + np.exp(-2.025)), np.float32), np.array([True, True, False]))
    temperature, saved = fit_temperature([counts], 0.0)
    assert temperature == pytest.approx(2.025 / np.log(2), rel=1e-3)
    assert saved > 0


def test_ignores_certain_voxels_and_bounds_search():
    confident = count_logits(np.array([1e-6, 1 - 1e-6], np.float32), np.array([False, True]))
    assert fit_temperature([confident], 0.0) == (1.0, 0.0)
    wrong = count_logits(np.full(9, 0.9, np.float32), np.zeros(9, bool))
    assert fit_temperature([wrong], 0.0)[0] == pytest.approx(TEMPERATURES[1], rel=0.01)


def test_foreground_temperature_uses_only_positive_logits():
    """Two of three voxels at 2.025 are right, so T = 2.025 / ln 2. Voxels below 0 do not count."""
    message = np.array([2.025, 2.025, 2.025, -3.025, -3.025])
    counts = count_logits((1 / (1 + np.exp(-message))).astype(np.float32), np.array([True, True, False, True, True]))
    temperature, saved = fit_inside_temperature([counts])
    assert temperature == pytest.approx(2.025 / np.log(2), rel=1e-3)
    assert saved == pytest.approx(inside_cross_entropy([counts]) - inside_cross_entropy([counts], inside=temperature))


def test_logits_beyond_histogram_count_at_its_edge():
    """Logits of 9 and 12, two of three right, count as 6."""
    message = np.array([9.0, 9.0, 12.0])
    counts = count_logits((1 / (1 + np.exp(-message))).astype(np.float32), np.array([True, False, True]))
    assert fit_inside_temperature([counts])[0] == pytest.approx(6 / np.log(2), rel=1e-3)


def test_mostly_wrong_foreground_takes_highest_temperature_and_empty_takes_none():
    wrong = count_logits(np.full(9, 0.9, np.float32), np.zeros(9, bool))
    assert fit_inside_temperature([wrong])[0] == pytest.approx(INSIDE_TEMPERATURES[1], rel=0.01)
    empty = count_logits(np.full(9, 0.1, np.float32), np.ones(9, bool))
    assert fit_inside_temperature([empty]) == (1.0, 0.0)
