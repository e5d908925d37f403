"""Records of a segmentation's probabilities in an evaluation."""

import numpy as np
import pytest

from brats_mm.domain.subset_calibration import IDENTITY, Correction
from brats_mm.trust.record import compute_probability_scores, undo_correction


def corrected(logits: np.ndarray, correction: Correction) -> np.ndarray:
    moved = (logits - correction.offset) / correction.temperature
    moved = np.where(moved > 0, moved / correction.foreground_temperature, moved)
    return (1 / (1 + np.exp(-moved))).astype(np.float32)


@pytest.mark.parametrize(
    "correction", [Correction(foreground_temperature=3.0), Correction(0.5, 2.0, 3.0), Correction(-1.0, 0.5)]
)
def test_recovers_probabilities_before_calibration(correction):
    logits = np.linspace(-4, 4, 33)
    raw = 1 / (1 + np.exp(-logits))
    assert undo_correction(corrected(logits, correction), correction) == pytest.approx(raw, abs=1e-4)


def test_identity_calibration_changes_nothing():
    probability = np.array([2e-9, 0.2, 0.7], np.float32)
    assert undo_correction(probability, IDENTITY) is probability
    assert undo_correction(probability, Correction(1.0, 2.0))[0] == np.float32(2e-9)


def test_certain_voxel_stays_certain():
    assert undo_correction(np.ones(1, np.float32), Correction(foreground_temperature=5.0)) == 1


def test_records_volumes_and_estimate():
    probability = np.array([0.8, 0.6, 0.4, 0.2, 0.0], np.float32)
    scores = compute_probability_scores(probability, probability >= 0.5, 0.5)
    assert scores["predicted_ml"] == 1.0
    assert scores["expected_ml"] == pytest.approx(1.0)
    assert scores["estimated_dice"] == pytest.approx(0.7)


def test_empty_segmentation_has_expected_volume_but_no_estimate():
    scores = compute_probability_scores(np.full(5, 0.1, np.float32), np.zeros(5, bool), 1.0)
    assert np.isnan(scores["estimated_dice"])
    assert (scores["predicted_ml"], scores["expected_ml"]) == (0, pytest.approx(0.5))
