"""Temperature scaling recovers the temperature that sharpened the probabilities."""

import numpy as np
import pytest

from brats_mm.metrics.operating_point import count_logits
from brats_mm.metrics.temperature import (
    INSIDE_TEMPERATURES,
    TEMPERATURES,
    best_inside_temperature,
    best_temperature,
    inside_cross_entropy,
)


def drawn(factor, shift=0.0, count=200_000):
    """Voxels whose true logit is z, of which the model says `factor z + shift`."""
    rng = np.random.default_rng(0)
    logits = rng.uniform(-2.5, 2.5, count)
    truth = rng.random(count) < 1 / (1 + np.exp(-logits))
    message = 1 / (1 + np.exp(-(factor * logits + shift)))
    return count_logits(message.astype(np.float32), truth)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_the_factor_of_a_model_that_is_too_sure_is_its_temperature(factor):
    temperature, saved = best_temperature([drawn(factor)], 0.0)
    assert temperature == pytest.approx(factor, rel=0.03)
    assert (saved > 0.005) == (factor != 1.0)


def test_an_offset_is_taken_off_first():
    assert best_temperature([drawn(2.0, shift=0.8)], 0.8)[0] == pytest.approx(2.0, rel=0.03)


def test_counts_of_cases_are_added_up():
    one, two = drawn(2.0, count=1000), drawn(0.5, count=300_000)
    assert best_temperature([one, two], 0.0)[0] == pytest.approx(0.5, rel=0.05)


def test_two_voxels_by_hand():
    """One right and one wrong of three at a logit of 2 call for a probability of 2/3, the logit ln 2: T = 2 / ln 2."""
    counts = count_logits(np.full(3, 1 / (1 + np.exp(-2.025)), np.float32), np.array([True, True, False]))
    temperature, saved = best_temperature([counts], 0.0)
    assert temperature == pytest.approx(2.025 / np.log(2), rel=1e-3)
    assert saved > 0


def test_certain_voxels_do_not_count_and_the_search_is_bounded():
    sure = count_logits(np.array([1e-6, 1 - 1e-6], np.float32), np.array([False, True]))
    assert best_temperature([sure], 0.0) == (1.0, 0.0)
    wrong = count_logits(np.full(9, 0.9, np.float32), np.zeros(9, bool))
    assert best_temperature([wrong], 0.0)[0] == pytest.approx(TEMPERATURES[1], rel=0.01)


def test_of_the_inside_only_what_is_above_zero_counts():
    """Three voxels at 2.025, two of them right: T = 2.025 / ln 2. What is below 0 has no say, however wrong."""
    message = np.array([2.025, 2.025, 2.025, -3.025, -3.025])
    counts = count_logits((1 / (1 + np.exp(-message))).astype(np.float32), np.array([True, True, False, True, True]))
    temperature, saved = best_inside_temperature([counts])
    assert temperature == pytest.approx(2.025 / np.log(2), rel=1e-3)
    assert saved == pytest.approx(inside_cross_entropy([counts]) - inside_cross_entropy([counts], inside=temperature))


def test_wrong_voxels_beyond_the_histogram_count_as_if_they_stood_on_its_edge():
    """Logits of 9 and of 12, two of three right: as if all were 6."""
    message = np.array([9.0, 9.0, 12.0])
    counts = count_logits((1 / (1 + np.exp(-message))).astype(np.float32), np.array([True, False, True]))
    assert best_inside_temperature([counts])[0] == pytest.approx(6 / np.log(2), rel=1e-3)


def test_an_inside_that_is_mostly_wrong_takes_the_highest_temperature_and_an_empty_one_none():
    wrong = count_logits(np.full(9, 0.9, np.float32), np.zeros(9, bool))
    assert best_inside_temperature([wrong])[0] == pytest.approx(INSIDE_TEMPERATURES[1], rel=0.01)
    empty = count_logits(np.full(9, 0.1, np.float32), np.ones(9, bool))
    assert best_inside_temperature([empty]) == (1.0, 0.0)
