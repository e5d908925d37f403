"""Entropy as a detector of errors: ranking and filtering."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brats_mm.metrics.uncertainty import build_entropy_table

LN2 = math.log(2)


def table(share, predicted, reference):
    return build_entropy_table(
        np.array(share, np.float32) * np.float32(LN2), np.array(predicted, np.bool_), np.array(reference, np.bool_)
    )


def test_entropy_highest_at_errors_has_auroc_one():
    assert table([0.1, 0.2, 0.8, 0.9], [1, 0, 1, 0], [1, 0, 0, 1]).auroc == 1


def test_equal_entropy_has_auroc_one_half():
    assert table([0.5] * 4, [1, 0, 1, 0], [1, 0, 0, 1]).auroc == 0.5


def test_one_misranked_pair_of_four_has_auroc_three_quarters():
    assert table([0.1, 0.6, 0.5, 0.9], [1, 1, 0, 0], [1, 1, 1, 1]).auroc == 0.75


def test_without_errors_auroc_is_undefined():
    assert math.isnan(table([0.1, 0.9], [1, 0], [1, 0]).auroc)


def test_filtering_drops_voxels_above_threshold():
    # True positive at 10, false positive at 60, false negative at 80, true negatives at 20 and 90.
    curve = table([0.1, 0.6, 0.8, 0.2, 0.9], [1, 1, 0, 0, 0], [1, 0, 1, 0, 0]).filtered()
    assert tuple(pytest.approx(curve.dice[t]) for t in (5, 10, 60, 100)) == (1.0, 1.0, 2 / 3, 0.5)
    assert (curve.lost_true_positives[9], curve.lost_true_positives[10]) == (1.0, 0.0)
    assert tuple(curve.lost_true_negatives[t] for t in (19, 20, 90)) == (1.0, 0.5, 0.0)
    assert (0.0, pytest.approx(0.4), 1.0) == (curve.kept[0], curve.kept[20], curve.kept[100])


def test_confident_correct_prediction_has_best_score():
    assert table([0, 0], [1, 0], [1, 0]).filtered().score == 1


def test_uncertain_correct_prediction_is_penalised_for_dropped_voxels():
    # Every threshold below 100 drops all voxels. The Dice of nothing is 1, and both ratios have an area of 0.995.
    assert pytest.approx((1 + 2 * 0.005) / 3) == table([1, 1], [1, 0], [1, 0]).filtered().score


@given(st.integers(0, 2**32 - 1))
def test_auroc_matches_pair_count_and_tables_add(seed):
    rng = np.random.default_rng(seed)
    share, predicted, reference = rng.integers(0, 101, 60) / 100, rng.random(60) < 0.5, rng.random(60) < 0.5
    whole = table(share, predicted, reference)
    wrong, right = share[predicted != reference], share[predicted == reference]
    pairs = (wrong[:, None] > right).mean() + 0.5 * (wrong[:, None] == right).mean()
    assert pairs == pytest.approx(whole.auroc)
    halves = table(share[:30], predicted[:30], reference[:30]) + table(share[30:], predicted[30:], reference[30:])
    assert np.array_equal(whole.voxels, halves.voxels)
