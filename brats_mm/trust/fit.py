"""Fit a trust profile to the records of an evaluation on labelled cases."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import isotonic_regression

from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.trust_profile import (
    VOLUME_OFFSET_ML,
    DiceCurve,
    SequenceGroup,
    TrustProfile,
    group_of,
    spread,
)
from brats_mm.errors import OptionError
from brats_mm.trust.conformal import Scores, coverage_floor, grouped_quantile
from brats_mm.trust.gains import fit_gains, gain_data
from brats_mm.trust.record import CaseRecords, TrustRecord, cases_of

COVERAGE = 0.9
BLOCKS = 20
"""Number of equal groups of segmentations that isotonic regression is fitted to, so that no single one makes a step."""

LEAST_CASES = 3
Records = Sequence[TrustRecord]


def fit_profile(records: Records, *, coverage: float = COVERAGE) -> TrustProfile:
    """Fit expected Dice, volume intervals and gains.

    Args:
        records: of all labelled cases and subsets.
        coverage: nominal coverage of the intervals.

    Raises:
        OptionError: there are fewer than three cases, or nothing was segmented.
    """
    by_case = cases_of(records)
    if len(by_case) < LEAST_CASES:
        message = f"A trust profile needs at least {LEAST_CASES} labelled cases, got {len(by_case)}. Evaluate more."
        raise OptionError(message)
    curves = {region: _curve(by_case, region, coverage) for region in REGIONS}
    return TrustProfile(
        cases=len(by_case),
        coverage=coverage,
        coverage_floor=coverage_floor(len(by_case), coverage),
        curves=curves,
        volume_widths=_volume_widths(by_case, coverage),
        gains=fit_gains(gain_data(by_case, curves)),
    )


def volume_score(record: TrustRecord) -> float:
    """Return the absolute error of the log volume."""
    ratio = (record.reference_ml + VOLUME_OFFSET_ML) / (record.predicted_ml + VOLUME_OFFSET_ML)
    return abs(math.log(ratio))


def fit_curve(pairs: Sequence[tuple[float, float]]) -> DiceCurve:
    """Fit the monotone map from (estimate, Dice) pairs by isotonic regression on blocks of equal size."""
    estimate, dice = np.array(sorted(pairs), np.float64).T
    blocks = np.array_split(np.arange(len(estimate)), min(BLOCKS, len(estimate)))
    x = np.array([estimate[block].mean() for block in blocks])
    fitted = isotonic_regression(
        np.array([dice[block].mean() for block in blocks]), weights=np.array([float(len(block)) for block in blocks])
    ).x
    return DiceCurve(tuple(float(value) for value in x), tuple(float(value) for value in fitted))


def _curve(by_case: Mapping[str, CaseRecords], region: Region, coverage: float) -> DiceCurve:
    pairs = {name: _pairs(case, region) for name, case in by_case.items()}
    every = [pair for one in pairs.values() for pair in one]
    if not every:
        message = f"No case has a segmented {region.label}, so its expected Dice cannot be calibrated."
        raise OptionError(message)
    scores = []
    for name, own in pairs.items():
        others = [pair for other, one in pairs.items() if other != name for pair in one]
        if own and others:
            curve = fit_curve(others)
            errors = [abs(dice - (middle := curve.expected(estimate))) / spread(middle) for estimate, dice in own]
            scores.append(np.array(errors, np.float64))
    curve = fit_curve(every)
    return DiceCurve(curve.estimates, curve.dice, grouped_quantile(scores, coverage))


def _pairs(case: CaseRecords, region: Region) -> list[tuple[float, float]]:
    return [
        (record.estimated_dice, record.dice)
        for (_, own), record in case.items()
        if own is region and not math.isnan(record.estimated_dice)
    ]


def _volume_widths(by_case: Mapping[str, CaseRecords], coverage: float) -> dict[SequenceGroup, Mapping[Region, float]]:
    widths: dict[SequenceGroup, Mapping[Region, float]] = {}
    for group in SequenceGroup:
        found = {
            region: grouped_quantile([_volume_scores(case, group, region) for case in by_case.values()], coverage)
            for region in REGIONS
        }
        widths[group] = {region: width for region, width in found.items() if width is not None}
    return widths


def _volume_scores(case: CaseRecords, group: SequenceGroup, region: Region) -> Scores:
    own = [record for (subset, of), record in case.items() if of is region and group_of(subset) is group]
    return np.array([volume_score(record) for record in own], np.float64)
