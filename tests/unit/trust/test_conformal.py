"""Widths that cover, from scores that are grouped by case."""

import numpy as np
import pytest

from brats_mm.trust.conformal import coverage_floor, grouped_quantile


def test_with_one_score_per_case_it_is_the_usual_split_conformal_quantile():
    scores = [np.array([float(value)]) for value in range(1, 20)]  # 19 cases: the 18th of 20 ranks covers 90 %
    assert grouped_quantile(scores, 0.9) == 18


def test_too_few_cases_have_no_width():
    scores = [np.array([1.0, 2.0])] * 8
    assert grouped_quantile(scores, 0.9) is None  # 8 of 9 shares are less than 90 %
    assert grouped_quantile([*scores, np.array([3.0])], 0.9) == 3.0
    assert grouped_quantile([], 0.9) is None


def test_a_case_with_many_scores_weighs_as_much_as_one_with_few():
    many, few = np.zeros(1000), np.array([1.0])
    assert grouped_quantile([many, few, few], 0.5) == 1.0  # a quarter of the mass at 0, a half at 1


def test_new_cases_are_covered_as_often_as_claimed():
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        cases = [np.abs(rng.normal(rng.normal(), 0.5, 6)) for _ in range(18)]
        width = grouped_quantile(cases[:17], 0.9)
        covered.append(np.mean(cases[17] <= width))
    assert 0.88 < np.mean(covered) < 0.97


def test_the_floor_of_seventeen_cases_is_that_of_a_beta_distribution():
    assert coverage_floor(17, 0.9) == pytest.approx(0.05 ** (1 / 17))
    assert coverage_floor(1000, 0.9) > 0.88
    assert coverage_floor(8, 0.9) == 0
