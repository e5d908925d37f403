"""Dice at every threshold from counted logits, and the best threshold."""

import numpy as np
import pytest

from brats_mm.metrics.operating_point import LOGIT_EDGES, compute_dice_by_threshold, count_logits, find_best_offset


def _sigmoid(logit: object) -> np.ndarray:
    return (1 / (1 + np.exp(-np.asarray(logit, np.float64)))).astype(np.float32)


def test_dice_at_each_threshold_matches_thresholded_probabilities():
    rng = np.random.default_rng(0)
    logits, truth = rng.normal(0, 3, (6, 7, 8)), rng.random((6, 7, 8)) > 0.6
    curve = compute_dice_by_threshold(count_logits(_sigmoid(logits), truth))

    for index in (0, 60, 120, 200, 240):
        mask = logits >= LOGIT_EDGES[index]
        assert curve[index] == pytest.approx(2 * (mask & truth).sum() / (mask.sum() + truth.sum()), abs=2e-3)


def test_best_threshold_separates_tumour_from_false_tumour():
    probability, truth = _sigmoid([3.0, 3.0, 1.0, 1.0, -4.0]), np.array([True, True, False, False, False])
    offset, gain = find_best_offset(compute_dice_by_threshold(count_logits(probability, truth))[None])

    assert 1 < offset < 3
    assert gain == pytest.approx(1 - 4 / 6)


def test_empty_region_without_prediction_scores_one():
    curve = compute_dice_by_threshold(count_logits(_sigmoid([1.0, -3.0]), np.array([False, False])))

    assert curve[LOGIT_EDGES > 1.01].tolist() == [1.0] * int((LOGIT_EDGES > 1.01).sum())
    assert curve[LOGIT_EDGES < 0.99].tolist() == [0.0] * int((LOGIT_EDGES < 0.99).sum())


def test_keeps_threshold_without_gain():
    assert find_best_offset(np.ones((3, len(LOGIT_EDGES)))) == (pytest.approx(0.0, abs=1e-12), 0.0)
