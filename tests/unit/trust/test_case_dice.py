"""Dice estimated from the probabilities of a case, and its grade."""

import numpy as np
import pytest

from brats_mm.domain.regions import Region
from brats_mm.domain.trust_profile import LightRecord
from brats_mm.trust.case_dice import Grade, advise_on_outline, choose_grade, estimate_dice, find_reliability_warnings


def test_certain_probabilities_give_dice_one():
    probability = np.array([1, 1, 0, 0], np.float32)
    assert estimate_dice(probability, probability >= 0.5) == 1


def test_uncertainty_inside_and_outside_lowers_estimate():
    probability = np.array([0.8, 0.6, 0.4, 0.2, 0.0], np.float32)
    assert estimate_dice(probability, probability >= 0.5) == pytest.approx(2 * 1.4 / (2 + 2.0))


def test_estimate_matches_mean_dice_of_sampled_labels():
    rng = np.random.default_rng(0)
    probability = rng.beta(0.3, 0.6, 20_000).astype(np.float32)
    inside = probability >= 0.5
    truth = rng.random(probability.size) < probability
    true_dice = 2 * (truth & inside).sum() / (truth.sum() + inside.sum())
    assert estimate_dice(probability, inside) == pytest.approx(true_dice, abs=0.01)


def test_ignores_background_voxels_of_negligible_probability():
    probability = np.concatenate([np.ones(10), np.full(1_000_000, 5e-4)]).astype(np.float32)
    assert estimate_dice(probability, probability >= 0.5) == 1


def test_empty_segmentation_has_no_estimate():
    assert estimate_dice(np.full(5, 0.1, np.float32), np.zeros(5, bool)) is None


@pytest.mark.parametrize(
    ("estimate", "grade"),
    [(0.9, Grade.RELIABLE), (0.75, Grade.RELIABLE), (0.7, Grade.REVIEW), (0.5, Grade.REVIEW), (0.49, Grade.UNRELIABLE)],
)
def test_grades_follow_expected_dice(estimate, grade):
    assert choose_grade(estimate) is grade


def test_warns_only_of_unreliable_regions():
    message = find_reliability_warnings({Region.WT: 0.9, Region.TC: 0.3, Region.ET: None})
    assert len(message) == 1
    assert "tumour core" in message[0]
    assert "its expected Dice is 30 %. Do not use it without correction." in message[0]


@pytest.mark.parametrize(
    ("grade", "interval", "advice"),
    [
        (Grade.RELIABLE, None, "usually good"),
        (Grade.RELIABLE, (0.5, 1.0), "usually good"),
        (Grade.RELIABLE, (0.49, 1.0), "usually good, but can be poor: check it"),
        (Grade.REVIEW, (0.37, 1.0), "compare it with the images before use"),
        (Grade.UNRELIABLE, (0.0, 0.6), "do not use it without correction"),
    ],
)
def test_outline_advice_follows_grade_and_lower_interval_limit(grade, interval, advice):
    assert advise_on_outline(grade, interval) == advice


def test_outline_advice_states_how_often_the_grade_was_wrong():
    advice = advise_on_outline(Grade.REVIEW, (0.37, 1.0), LightRecord(outlines=130, poor=45))
    assert advice == "compare it with the images before use. Of 130 such outlines, 45 had a Dice below 50 %"
