"""Fit a trust profile to the records of an evaluation on labelled cases."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression
from scipy.stats import beta

from brats_mm.domain.availability import Availability
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.trust_profile import (
    VOLUME_OFFSET_ML,
    DiceCurve,
    LightRecord,
    SequenceGroup,
    TrustProfile,
    compute_spread,
    compute_volume_scale,
    find_group,
)
from brats_mm.errors import OptionError
from brats_mm.trust.case_dice import REVIEW_FROM, Grade, choose_grade
from brats_mm.trust.gains import collect_gain_data, fit_gains
from brats_mm.trust.no_tumour import fit_no_tumour_scores
from brats_mm.trust.record import CaseRecords, TrustRecord, group_by_case

Scores = npt.NDArray[np.float64]


def compute_grouped_quantile(groups: Sequence[Scores], coverage: float) -> float | None:
    """Return the smallest split-conformal width with the nominal coverage, or None if there are too few cases.

    Scores of one case (its subsets of sequences) depend on each other, so cases are the exchangeable units. Each of K
    cases shares the mass 1/(K + 1) among its scores, and the remaining mass lies at infinity (Lee, Barber and Willett
    2023, "Distribution-free inference with hierarchical data"). The quantile covers a random segmentation of a new case
    with at least the nominal probability, on average over calibration sets.

    Args:
        groups: absolute scores of each case. Empty groups are ignored.
        coverage: nominal coverage, 0 to 1.
    """
    filled = [group for group in groups if group.size]
    if not filled:
        return None
    scores = np.concatenate(filled)
    mass = np.concatenate([np.full(group.size, 1 / ((len(filled) + 1) * group.size)) for group in filled])
    order = np.argsort(scores)
    reached = np.cumsum(mass[order]) >= coverage - 1e-9
    return float(scores[order][np.argmax(reached)]) if reached.any() else None


def compute_coverage_floor(cases: int, coverage: float) -> float:
    """Return the coverage that holds with 95 % confidence, given the number of calibration cases.

    The coverage of a split-conformal interval varies with the calibration set: it follows a beta distribution
    (Vovk 2012). This is its 5 % quantile. 0 if the cases are too few for any interval.

    Args:
        cases: number of calibration cases.
        coverage: nominal coverage, 0 to 1.
    """
    left_out = math.floor((cases + 1) * (1 - coverage) + 1e-9)
    if left_out < 1 or cases < 1:
        return 0.0
    return float(beta.ppf(0.05, cases + 1 - left_out, left_out))


COVERAGE = 0.9
BLOCKS = 20
"""Number of equal groups of segmentations for the isotonic regression, so that a single segmentation makes no step."""

MIN_CASES = 3
Records = Sequence[TrustRecord]


def fit_profile(records: Records, *, coverage: float = COVERAGE) -> TrustProfile:
    """Fit expected Dice, volume intervals, gains, and the limits of scores of heads without tumour.

    Args:
        records: records of all labelled cases and subsets.
        coverage: nominal coverage of the intervals.

    Raises:
        OptionError: there are fewer than three cases, or nothing was segmented.
    """
    by_case = group_by_case(records)
    if len(by_case) < MIN_CASES:
        raise OptionError(
            f"A trust profile needs at least {MIN_CASES} labelled cases, got {len(by_case)}. Evaluate more cases."
        )
    left_out = _predict_left_out_dice(by_case)
    curves = {region: _fit_curve(by_case, region, left_out, coverage) for region in REGIONS}
    return TrustProfile(
        cases=len(by_case),
        coverage=coverage,
        coverage_floor=compute_coverage_floor(len(by_case), coverage),
        curves=curves,
        volume_widths=_fit_volume_widths(by_case, left_out, coverage),
        gains=fit_gains(collect_gain_data(by_case, curves)),
        lights=_count_lights(by_case, left_out),
        no_tumour_scores=fit_no_tumour_scores(by_case.values()),
    )


def compute_log_volume_error(record: TrustRecord) -> float:
    """Return the absolute error of the logarithm of the volume."""
    ratio = (record.reference_ml + VOLUME_OFFSET_ML) / (record.predicted_ml + VOLUME_OFFSET_ML)
    return abs(math.log(ratio))


def fit_curve(pairs: Sequence[tuple[float, float]]) -> DiceCurve:
    """Fit the monotone map from (estimate, Dice) pairs by isotonic regression on blocks of equal size.

    Args:
        pairs: (estimate, Dice) of each segmentation, both 0 to 1.
    """
    estimate, dice = np.array(sorted(pairs), np.float64).T
    blocks = np.array_split(np.arange(len(estimate)), min(BLOCKS, len(estimate)))
    x = np.array([estimate[block].mean() for block in blocks])
    fitted = isotonic_regression(
        np.array([dice[block].mean() for block in blocks]), weights=np.array([float(len(block)) for block in blocks])
    ).x
    return DiceCurve(tuple(float(value) for value in x), tuple(float(value) for value in fitted))


LeftOutDice = Mapping[tuple[str, Availability, Region], float]
"""Return the expected Dice of each segmentation, by a curve fitted to the other cases."""


def _predict_left_out_dice(by_case: Mapping[str, CaseRecords]) -> LeftOutDice:
    predicted = {}
    for region in REGIONS:
        for name, case in by_case.items():
            pairs = [
                pair
                for other_name, case_records in by_case.items()
                if other_name != name
                for pair in _list_pairs(case_records, region)
            ]
            if not pairs:
                continue
            curve = fit_curve(pairs)
            for (subset, of), record in case.items():
                if of is region and not math.isnan(record.estimated_dice):
                    predicted[name, subset, region] = curve.expected(record.estimated_dice)
    return predicted


def _fit_curve(by_case: Mapping[str, CaseRecords], region: Region, left_out: LeftOutDice, coverage: float) -> DiceCurve:
    pairs = [pair for case in by_case.values() for pair in _list_pairs(case, region)]
    if not pairs:
        raise OptionError(f"No case has a segmented {region.label}, so its expected Dice cannot be calibrated.")
    scores = [
        np.array(
            [
                abs(record.dice - expected) / compute_spread(expected)
                for (subset, of), record in case.items()
                if of is region and (expected := left_out.get((name, subset, region))) is not None
            ],
            np.float64,
        )
        for name, case in by_case.items()
    ]
    curve = fit_curve(pairs)
    return DiceCurve(curve.estimates, curve.dice, compute_grouped_quantile(scores, coverage))


def _list_pairs(case: CaseRecords, region: Region) -> list[tuple[float, float]]:
    return [
        (record.estimated_dice, record.dice)
        for (_, region_of), record in case.items()
        if region_of is region and not math.isnan(record.estimated_dice)
    ]


def _fit_volume_widths(
    by_case: Mapping[str, CaseRecords], left_out: LeftOutDice, coverage: float
) -> dict[SequenceGroup, Mapping[Region, float]]:
    widths: dict[SequenceGroup, Mapping[Region, float]] = {}
    for group in SequenceGroup:
        by_region = {}
        for region in REGIONS:
            scores = [
                np.array(
                    [
                        compute_log_volume_error(record) / compute_volume_scale(left_out.get((name, subset, region)))
                        for (subset, of), record in case.items()
                        if of is region and find_group(subset) is group
                    ],
                    np.float64,
                )
                for name, case in by_case.items()
            ]
            by_region[region] = compute_grouped_quantile(scores, coverage)
        widths[group] = {region: width for region, width in by_region.items() if width is not None}
    return widths


def _count_lights(by_case: Mapping[str, CaseRecords], left_out: LeftOutDice) -> dict[Region, dict[str, LightRecord]]:
    """Count the outlines with each light, and the poor ones among them."""
    dice: dict[tuple[Region, Grade], list[float]] = {}
    for (name, subset, region), expected in left_out.items():
        dice.setdefault((region, choose_grade(expected)), []).append(by_case[name][subset, region].dice)
    return {
        region: {
            grade.value: LightRecord(len(scores), sum(score < REVIEW_FROM for score in scores))
            for grade in Grade
            if (scores := dice.get((region, grade)))
        }
        for region in REGIONS
    }
