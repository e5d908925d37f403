"""Leave-one-out comparison of calibration methods.

Each labelled case is left out in turn. Every method is fitted on the other cases and scored on the one left out. This
compares one constant per region fairly with ninety numbers, even on few cases.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np

from brats_mm.domain.availability import SUBSETS, Availability
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.subset_calibration import IDENTITY, Correction
from brats_mm.errors import OptionError
from brats_mm.inference.predictor import Predictor
from brats_mm.io.labelled_cases import LabelledCase
from brats_mm.metrics.operating_point import LOGIT_EDGES, compute_dice_by_threshold
from brats_mm.metrics.temperature import cross_entropy, inside_cross_entropy
from brats_mm.trust.calibration import (
    CaseCounts,
    OnCase,
    count_cases,
    fit_confidence,
    fit_constants,
    fit_subsets,
    fit_temperatures,
)

Corrections = Mapping[Availability, Mapping[Region, Correction]]
Fit = Callable[[Sequence[CaseCounts]], Corrections]

_NO_OFFSETS = dict.fromkeys(REGIONS, 0.0)


@dataclass(frozen=True)
class CorrectionScores:
    """Scores of a calibration method on left-out cases, averaged over cases and subsets.

    Attributes:
        dice: region -> Dice in [0, 1]. 1 if reference and prediction are empty.
        cross_entropy: region -> nats per uncertain voxel (`metrics.temperature.cross_entropy`).
        inside: region -> nats per foreground voxel (`metrics.temperature.inside_cross_entropy`).
    """

    dice: Mapping[Region, float]
    cross_entropy: Mapping[Region, float]
    inside: Mapping[Region, float]


@dataclass(frozen=True)
class Calibration:
    """Offsets of each region's logits, and their gains.

    Attributes:
        offsets: region -> offset.
        gains: region -> mean Dice gained on the fitted cases and their subsets, in [0, 1].
        left_out_gains: region -> mean Dice gained on left-out cases. Negative if offsets fitted on so few cases do not
            generalise. Empty with one case.
        cases: number of fitted cases.
    """

    offsets: Mapping[Region, float]
    gains: Mapping[Region, float]
    left_out_gains: Mapping[Region, float]
    cases: int


def skip_correction(_: Sequence[CaseCounts]) -> Corrections:
    """Return the correction that changes nothing."""
    return _repeat_for_subsets(_NO_OFFSETS, dict.fromkeys(REGIONS, 1.0))


def fit_common_temperatures(cases: Sequence[CaseCounts]) -> Corrections:
    """Fit one temperature per region for all subsets. The segmentation is unchanged."""
    return _repeat_for_subsets(_NO_OFFSETS, fit_temperatures(cases, _NO_OFFSETS))


def fit_common_constants(cases: Sequence[CaseCounts]) -> Corrections:
    """Fit one offset per region for all subsets."""
    return _repeat_for_subsets(fit_constants(cases)[0], dict.fromkeys(REGIONS, 1.0))


def fit_constants_and_temperatures(cases: Sequence[CaseCounts]) -> Corrections:
    """Fit one offset and one temperature per region for all subsets."""
    offsets, _ = fit_constants(cases)
    return _repeat_for_subsets(offsets, fit_temperatures(cases, offsets))


def fit_by_subset(cases: Sequence[CaseCounts]) -> Corrections:
    """Fit an offset and a temperature per subset and region."""
    return fit_subsets(cases).calibration.corrections


def fit_foreground_temperatures(cases: Sequence[CaseCounts]) -> Corrections:
    """Fit a foreground temperature per subset and region. The segmentation is unchanged."""
    return fit_confidence(cases).calibration.corrections


METHODS: Mapping[str, Fit] = {
    "as trained": skip_correction,
    "temperatures": fit_common_temperatures,
    "constants": fit_common_constants,
    "constants and temperatures": fit_constants_and_temperatures,
    "by subset": fit_by_subset,
    "confidence": fit_foreground_temperatures,
}


def compare_corrections(
    cases: Sequence[CaseCounts], methods: Mapping[str, Fit] = METHODS
) -> dict[str, CorrectionScores]:
    """Score every calibration method by leave-one-out.

    Args:
        cases: counts of each case, from `trust.calibration.count_cases`.
        methods: name -> function that fits the method.

    Raises:
        OptionError: there are fewer than two cases.
    """
    if len(cases) < 2:
        raise OptionError(f"Leave-one-out needs at least two labelled cases, got {len(cases)}.")
    return {name: _score_left_out(cases, fit) for name, fit in methods.items()}


def calibrate(predictor: Predictor, cases: Sequence[LabelledCase], *, on_case: OnCase | None = None) -> Calibration:
    """Fit the offset per region with the highest mean Dice over all subsets of the cases.

    Args:
        predictor: loaded model without calibration.
        cases: labelled cases that were not used in training.
        on_case: called after each case.
    """
    case_counts = count_cases(predictor, cases, on_case=on_case)
    offsets, gains = fit_constants(case_counts)
    left_out = {}
    if len(case_counts) > 1:
        scores = compare_corrections(case_counts, {"without": skip_correction, "with": fit_common_constants})
        left_out = {region: scores["with"].dice[region] - scores["without"].dice[region] for region in REGIONS}
    return Calibration(offsets, gains, left_out, len(case_counts))


def _repeat_for_subsets(offsets: Mapping[Region, float], fitted: Mapping[Region, float]) -> Corrections:
    row = {region: Correction(offsets[region], fitted[region]) for region in REGIONS}
    return {subset: row for subset in SUBSETS}  # noqa: C420 (rows are never modified)


def _score_left_out(cases: Sequence[CaseCounts], fit: Fit) -> CorrectionScores:
    dice: dict[Region, list[float]] = {region: [] for region in REGIONS}
    nats: dict[Region, list[float]] = {region: [] for region in REGIONS}
    inside: dict[Region, list[float]] = {region: [] for region in REGIONS}
    for index, case in enumerate(cases):
        corrections = fit([remaining for at, remaining in enumerate(cases) if at != index])
        for subset, regions in case.items():
            for region, counts in regions.items():
                correction = corrections.get(subset, {}).get(region, IDENTITY)
                threshold = int(np.argmin(np.abs(LOGIT_EDGES - correction.offset)))
                dice[region].append(float(compute_dice_by_threshold(counts)[threshold]))
                numbers = astuple(correction)
                nats[region].append(cross_entropy([counts], *numbers))
                inside[region].append(inside_cross_entropy([counts], *numbers))
    return CorrectionScores(
        {region: float(np.mean(dice[region])) for region in REGIONS},
        {region: float(np.mean(nats[region])) for region in REGIONS},
        {region: float(np.mean(inside[region])) for region in REGIONS},
    )
