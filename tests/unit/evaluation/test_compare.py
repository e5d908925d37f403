"""Two evaluations are compared by case, with intervals and tests."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import wilcoxon

from brats_mm.domain.availability import SUBSETS, format_subset
from brats_mm.domain.regions import REGIONS
from brats_mm.errors import OptionError
from brats_mm.evaluation.compare import (
    compare,
    compare_pairs,
    compute_bootstrap_interval,
    compute_signed_rank_p,
    correct_by_holm,
)
from brats_mm.evaluation.tables import CaseRow, RowWriter
from brats_mm.metrics.case_scores import Rule

ROW = CaseRow("", "", 1, "wt", "raw", 0.5, 3.0, 0.5, 0.5, 0.5, 9.0, 1, 0, 0, 10, 10, 0.01, 0.01, 0.1, 0.9, 0.9)


def write_run(folder: Path, dice: dict[str, float], *, step: float = 0.01, policy: str = "brats") -> Path:
    """Write an evaluation with one Dice per case, plus `step` for each further sequence."""
    folder.mkdir()
    with RowWriter(folder / "cases.csv", CaseRow) as table:
        for (case, value), subset, region, rule in itertools.product(dice.items(), SUBSETS, REGIONS, Rule):
            score = value + step * (len(subset) - 1)
            table.write(
                [
                    replace(
                        ROW, case=case, subset=format_subset(subset), region=region.value, rule=rule.value, dice=score
                    )
                ]
            )
    summary = {
        "model": {"name": folder.name, "version": "1"},
        "empty_policy": {"name": policy, "sentence": "", "hd95_penalty_mm": 373.13},
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def test_differences_are_paired_by_case(tmp_path):
    a = write_run(tmp_path / "a", {"x": 0.50, "y": 0.60, "z": 0.70})
    b = write_run(tmp_path / "b", {"y": 0.62, "z": 0.73, "w": 0.10})
    comparison = compare(a, b, tmp_path / "out")
    one = comparison["means"]["raw"]["wt"]["dice"]
    assert (comparison["cases"], comparison["cases_only_in_one"], one["cases"]) == (2, 2, 2)
    assert one["difference"] == pytest.approx(0.025)
    assert 0.02 <= one["low"] <= one["difference"] <= one["high"] <= 0.03 + 1e-9
    assert comparison["sets"]["t1"]["wt"]["p_holm"] >= comparison["sets"]["t1"]["wt"]["p"]
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())["cases"] == 2
    page = (tmp_path / "out" / "comparison.md").read_text()
    assert "| dice | WT | raw |" in page
    assert "+2.50" in page


def test_run_does_not_differ_from_itself(tmp_path):
    a = write_run(tmp_path / "a", {"x": 0.50, "y": 0.60})
    one = compare(a, a)["means"]["raw"]["et"]["dice"]
    assert (one["difference"], one["low"], one["high"], one["p"]) == (0, 0, 0, 1)


def test_counterintuitive_rates_are_compared(tmp_path):
    rising = write_run(tmp_path / "rising", {"x": 0.5, "y": 0.6})
    falling = write_run(tmp_path / "falling", {"x": 0.5, "y": 0.6}, step=-0.01)
    rates = compare(falling, rising)["counterintuitive"]["wt"]
    assert (rates["a"], rates["b"], rates["difference"], rates["high"]) == (1, 0, -1, -1)


def test_rejects_runs_that_cannot_be_paired(tmp_path):
    a = write_run(tmp_path / "a", {"x": 0.5})
    with pytest.raises(OptionError, match="no case in common"):
        compare(a, write_run(tmp_path / "b", {"y": 0.5}))
    with pytest.raises(OptionError, match=r"policy brats .* uses skip"):
        compare(a, write_run(tmp_path / "c", {"x": 0.5}, policy="skip"))
    with pytest.raises(OptionError, match="Use the folder of a finished `brats-mm evaluate`"):
        compare(a, tmp_path)


def test_cases_with_missing_scores_are_skipped():
    result = compare_pairs(np.array([0.1, np.nan, 0.3]), np.array([0.2, 0.9, 0.5]))
    assert (result["cases"], result["difference"]) == (2, pytest.approx(0.15))
    assert compare_pairs(np.array([np.nan]), np.array([0.5]))["difference"] is None


def test_holm_multiplies_smallest_p_by_number_of_tests():
    assert correct_by_holm([0.01, 0.04, 0.03]) == [pytest.approx(0.03), pytest.approx(0.06), pytest.approx(0.06)]


def test_signed_rank_test_matches_scipy():
    difference = np.array([0.1, 0.2, -0.05, 0.3, 0.15, 0.0])
    assert compute_signed_rank_p(difference) == pytest.approx(wilcoxon(difference[:5]).pvalue)


def test_bootstrap_interval_is_about_two_standard_errors():
    values = np.random.default_rng(1).normal(1.0, 2.0, 400)
    low, high = compute_bootstrap_interval(values, lambda sample: sample.mean(axis=1))
    error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.3 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.3 * error)
