"""The temperature that is found is the one that probabilities were sharpened by."""

import numpy as np
import pytest

from brats_mm.metrics.operating_point import count_logits
from brats_mm.metrics.temperature import TEMPERATURES, best_temperature


def drawn(factor, shift=0.0, count=200_000):
    """Voxels whose true logit is z, of which the model says `factor z + shift`."""
    rng = np.random.default_rng(0)
    logits = rng.uniform(-2.5, 2.5, count)
    truth = rng.random(count) < 1 / (1 + np.exp(-logits))
    said = 1 / (1 + np.exp(-(factor * logits + shift)))
    return count_logits(said.astype(np.float32), truth)


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


def test_undoubted_voxels_do_not_count_and_the_search_is_bounded():
    sure = count_logits(np.array([1e-6, 1 - 1e-6], np.float32), np.array([False, True]))
    assert best_temperature([sure], 0.0) == (1.0, 0.0)
    wrong = count_logits(np.full(9, 0.9, np.float32), np.zeros(9, bool))
    assert best_temperature([wrong], 0.0)[0] == pytest.approx(TEMPERATURES[1], rel=0.01)
