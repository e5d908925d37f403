"""Conformal interval widths from scores grouped by case."""

import numpy as np
import pytest

from brats_mm.trust.fit import compute_coverage_floor, compute_grouped_quantile


def test_one_score_per_case_gives_split_conformal_quantile():
    scores = [np.array([float(value)]) for value in range(1, 20)]  # With 19 cases, the 18th of 20 ranks covers 90 %.
    assert compute_grouped_quantile(scores, 0.9) == 18


def test_too_few_cases_give_no_width():
    scores = [np.array([1.0, 2.0])] * 8
    assert compute_grouped_quantile(scores, 0.9) is None  # 8 of 9 is less than 90 %
    assert compute_grouped_quantile([*scores, np.array([3.0])], 0.9) == 3.0
    assert compute_grouped_quantile([], 0.9) is None


def test_cases_have_equal_weight_whatever_their_number_of_scores():
    many, few = np.zeros(1000), np.array([1.0])
    assert compute_grouped_quantile([many, few, few], 0.5) == 1.0  # a quarter of the mass is at 0, a half at 1


def test_new_cases_have_nominal_coverage():
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        cases = [np.abs(rng.normal(rng.normal(), 0.5, 6)) for _ in range(18)]
        width = compute_grouped_quantile(cases[:17], 0.9)
        covered.append(np.mean(cases[17] <= width))
    assert 0.88 < np.mean(covered) < 0.97


def test_coverage_floor_of_17_cases_is_beta_quantile():
    assert compute_coverage_floor(17, 0.9) == pytest.approx(0.05 ** (1 / 17))
    assert compute_coverage_floor(1000, 0.9) > 0.88
    assert compute_coverage_floor(8, 0.9) == 0
