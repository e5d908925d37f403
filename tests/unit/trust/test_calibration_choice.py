"""Calibrations are chosen by their scores on left-out cases."""

import numpy as np
import pytest

from brats_mm.domain.availability import SUBSETS, Availability
from brats_mm.domain.regions import REGIONS
from brats_mm.errors import OptionError
from brats_mm.metrics.operating_point import LOGIT_EDGES, LogitCounts
from brats_mm.metrics.temperature import cross_entropy
from brats_mm.trust.calibration import CaseCounts
from brats_mm.trust.calibration_choice import compare_corrections

WHOLE, SINGLE = SUBSETS[0], SUBSETS[-1]


def counts_with_border(logit: float) -> LogitCounts:
    """Return counts of 100 voxels of the region just above a logit and 100 others just below it."""
    inside, outside = (np.zeros(len(LOGIT_EDGES) + 1, np.int64) for _ in range(2))
    at = int(np.argmin(np.abs(LOGIT_EDGES - logit)))
    inside[at + 1], outside[at] = 100, 100
    return LogitCounts(inside, outside)


def case(borders: dict[Availability, float]) -> CaseCounts:
    return {subset: dict.fromkeys(REGIONS, counts_with_border(border)) for subset, border in borders.items()}


def test_shared_border_is_found_without_the_left_out_case() -> None:
    cases = [case({WHOLE: 1.0, SINGLE: 1.0}) for _ in range(4)]

    scores = compare_corrections(cases)

    for region in REGIONS:
        # Uncalibrated, all voxels between 0 and 1 belong to the region: 2 * 100 / (200 + 100).
        assert scores["as trained"].dice[region] == pytest.approx(2 / 3)
        assert scores["constants"].dice[region] == 1
        assert scores["by subset"].dice[region] == 1
        assert scores["temperatures"].dice[region] == scores["as trained"].dice[region]
        assert scores["constants and temperatures"].cross_entropy[region] < scores["constants"].cross_entropy[region]


def test_different_subsets_need_separate_calibration() -> None:
    cases = [case({WHOLE: 1.0, SINGLE: -1.0}) for _ in range(4)]

    scores = compare_corrections(cases)

    for region in REGIONS:
        assert scores["by subset"].dice[region] == 1
        assert scores["constants"].dice[region] < 0.9


def test_calibration_of_one_case_does_not_help_another() -> None:
    cases = [case({WHOLE: 2.0}), case({WHOLE: -2.0})]

    scores = compare_corrections(cases)

    for region in REGIONS:  # fitted on one case, it is wrong for the other
        assert scores["constants"].dice[region] < scores["as trained"].dice[region] + 1e-9


def test_foreground_temperature_improves_calibration_and_keeps_outline() -> None:
    cases = [case({WHOLE: 1.0}) for _ in range(3)]  # 100 of the 200 voxels above 0 are wrong

    scores = compare_corrections(cases)

    for region in REGIONS:
        assert scores["confidence"].dice[region] == scores["as trained"].dice[region]
        assert scores["confidence"].inside[region] < scores["as trained"].inside[region]


def test_needs_two_cases_to_leave_one_out() -> None:
    with pytest.raises(OptionError, match="two labelled cases"):
        compare_corrections([case({WHOLE: 0.0})])


def test_cross_entropy_of_certain_border() -> None:
    """All voxels are at +-0.025: ln(1 + exp(-0.025)) each."""
    assert cross_entropy([counts_with_border(0.0)]) == pytest.approx(np.log1p(np.exp(-0.025)))
