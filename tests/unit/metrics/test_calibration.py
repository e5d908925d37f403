"""Calibration errors against hand-checked values, a direct computation and MONAI."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.metrics import CalibrationErrorMetric

from brats_mm.metrics.calibration import BINS, build_reliability, create_empty_reliability


def table(probability, reference):
    return build_reliability(np.array(probability, np.float32), np.array(reference, np.bool_))


def direct_ece(p: np.ndarray, reference: np.ndarray) -> float:
    message = p >= 0.5
    confidence, right = np.where(message, p, 1 - p), message == reference
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    parts = [bins == index for index in range(BINS)]
    return sum(abs(right[part].mean() - confidence[part].mean()) * part.mean() for part in parts if part.any())


def test_confident_correct_predictions_have_no_error():
    reliability = table([0, 0, 1, 1], [0, 0, 1, 1])
    assert (reliability.ece, reliability.sce, reliability.class_ece) == (0, 0, 0)


def test_confident_wrong_predictions_have_error_one():
    reliability = table([0, 1], [1, 0])
    assert (reliability.ece, reliability.sce, reliability.class_ece) == (1, 1, 1)


def test_opposite_class_errors_cancel_in_ece_but_not_in_sce():
    # Foreground at 0.9 is right half the time (error +0.4). Background at 0.9 is always right (error -0.1).
    reliability = table([0.9, 0.9, 0.1, 0.1], [1, 0, 0, 0])
    assert pytest.approx(abs((0.5 + 1.0) / 2 - 0.9)) == reliability.ece
    assert pytest.approx((0.4 + 0.1) / 2) == reliability.sce
    assert pytest.approx((0.4 + 0.1) / 2) == reliability.class_ece


def test_class_ece_is_not_diluted_by_background():
    # 2 foreground voxels with an error of 0.4, and 98 voxels of certain background.
    reliability = table([0.9, 0.9] + [0.0] * 98, [1, 0] + [0] * 98)
    assert pytest.approx(0.008) == reliability.ece
    assert pytest.approx(0.2) == reliability.class_ece


def test_middle_bin_holds_both_predicted_classes():
    reliability = table([0.48, 0.52], [0, 1])
    assert reliability.curve()[7]["voxels"] == 2
    assert pytest.approx(0.48) == reliability.ece
    assert pytest.approx(0.0, abs=1e-7) == reliability.sce


def test_reliability_curve_has_mean_probability_and_foreground_fraction():
    row = table([0.70, 0.72, 0.30], [1, 0, 0]).curve()[10]
    assert (2, pytest.approx(0.71), 0.5) == (row["voxels"], row["probability"], row["frequency"])
    assert table([0.70], [1]).curve()[0]["frequency"] is None


def test_empty_table_has_no_error():
    assert np.isnan(create_empty_reliability().ece)


@given(st.integers(0, 2**32 - 1))
def test_ece_matches_direct_computation_and_tables_add(seed):
    rng = np.random.default_rng(seed)
    p, reference = rng.random(400).astype(np.float32), rng.random(400) < 0.4
    whole, parts = (
        build_reliability(p, reference),
        build_reliability(p[:100], reference[:100]) + build_reliability(p[100:], reference[100:]),
    )
    assert direct_ece(p.astype(np.float64), reference) == pytest.approx(whole.ece, abs=1e-5)
    assert whole.ece == pytest.approx(parts.ece)
    assert whole.sce == pytest.approx(parts.sce)


def monai_ece(confidence: np.ndarray, right: np.ndarray) -> float:
    metric = CalibrationErrorMetric(num_bins=BINS)
    metric(y_pred=torch.from_numpy(confidence)[None, None], y=torch.from_numpy(right.astype(np.float32))[None, None])
    return metric.aggregate().item()


@pytest.mark.parametrize("seed", range(5))
def test_errors_match_monai(seed):
    rng = np.random.default_rng(seed)
    p, reference = rng.beta(0.4, 0.8, 500).astype(np.float32), rng.random(500) < 0.3
    reliability, foreground = table(p, reference), p >= 0.5
    by_class = monai_ece(p[foreground], reference[foreground]), monai_ece(1 - p[~foreground], ~reference[~foreground])
    assert reliability.class_ece == pytest.approx(np.mean(by_class), abs=1e-5)
    assert reliability.sce == pytest.approx(monai_ece(p, reference), abs=1e-5)
    assert reliability.ece == pytest.approx(monai_ece(np.maximum(p, 1 - p), reference == foreground), abs=1e-5)
