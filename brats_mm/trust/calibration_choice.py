"""What a correction after training gives on cases that it was not fitted on.

Each labelled case is left out in turn, every correction is fitted on the others and applied to it. So constants, and
the ninety numbers of a correction by subset, are judged alike, however few the cases are.
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
from brats_mm.metrics.operating_point import LOGIT_EDGES, dice_by_threshold
from brats_mm.metrics.temperature import cross_entropy, inside_cross_entropy
from brats_mm.trust.calibration import (
    CaseCounts,
    OnCase,
    count_cases,
    fit_certainty,
    fit_constants,
    fit_subsets,
    fit_temperatures,
)

Corrections = Mapping[Availability, Mapping[Region, Correction]]
Fit = Callable[[Sequence[CaseCounts]], Corrections]

_NO_OFFSETS = dict.fromkeys(REGIONS, 0.0)


@dataclass(frozen=True)
class CorrectionScores:
    """What a correction gives on the cases that were left out.

    Attributes:
        dice: region -> mean Dice over cases and their subsets, in [0, 1]; 1 where reference and prediction are empty.
        cross_entropy: region -> nats a voxel in doubt (`metrics.temperature.cross_entropy`), the mean over cases and
            subsets.
        inside: region -> nats a voxel that was called the region (`metrics.temperature.inside_cross_entropy`), the mean
            over cases and subsets.
    """

    dice: Mapping[Region, float]
    cross_entropy: Mapping[Region, float]
    inside: Mapping[Region, float]


@dataclass(frozen=True)
class Calibration:
    """The constant that was taken off each region's logits, and what it gave.

    Attributes:
        offsets: region -> constant.
        gains: region -> what it adds to the mean Dice over the cases that chose it and their subsets, in [0, 1].
        left_out_gains: the same with each case left out of the choice for it; below 0 where constants chosen on so few
            cases hurt the next one. Empty with one case.
        cases: how many cases chose it.
    """

    offsets: Mapping[Region, float]
    gains: Mapping[Region, float]
    left_out_gains: Mapping[Region, float]
    cases: int


def as_trained(_: Sequence[CaseCounts]) -> Corrections:
    """No correction."""
    return _for_all_subsets(_NO_OFFSETS, dict.fromkeys(REGIONS, 1.0))


def temperatures(counted: Sequence[CaseCounts]) -> Corrections:
    """A temperature a region, the same for all subsets: outlines stay, probabilities become honest."""
    return _for_all_subsets(_NO_OFFSETS, fit_temperatures(counted, _NO_OFFSETS))


def constants(counted: Sequence[CaseCounts]) -> Corrections:
    """A constant a region, the same for all subsets."""
    return _for_all_subsets(fit_constants(counted)[0], dict.fromkeys(REGIONS, 1.0))


def constants_and_temperatures(counted: Sequence[CaseCounts]) -> Corrections:
    """A constant and a temperature a region, the same for all subsets."""
    offsets, _ = fit_constants(counted)
    return _for_all_subsets(offsets, fit_temperatures(counted, offsets))


def by_subset(counted: Sequence[CaseCounts]) -> Corrections:
    """A constant and a temperature for each subset and region."""
    return fit_subsets(counted).calibration.corrections


def certainty(counted: Sequence[CaseCounts]) -> Corrections:
    """A temperature for the inside of each region, for each subset: outlines stay."""
    return fit_certainty(counted).calibration.corrections


WAYS: Mapping[str, Fit] = {
    "as trained": as_trained,
    "temperatures": temperatures,
    "constants": constants,
    "constants and temperatures": constants_and_temperatures,
    "by subset": by_subset,
    "certainty": certainty,
}


def compare_corrections(counted: Sequence[CaseCounts], ways: Mapping[str, Fit] = WAYS) -> dict[str, CorrectionScores]:
    """Score every way on cases that it was not fitted on.

    Args:
        counted: of each case, from `trust.calibration.count_cases`.
        ways: name -> what fits it.

    Raises:
        OptionError: there are fewer than two cases.
    """
    if len(counted) < 2:
        message = f"Leaving one out needs two labelled cases or more; there are {len(counted)}."
        raise OptionError(message)
    return {name: _left_out(counted, fit) for name, fit in ways.items()}


def calibrate(predictor: Predictor, cases: Sequence[LabelledCase], *, on_case: OnCase | None = None) -> Calibration:
    """The constant a region that gives the highest mean Dice over all availability sets of the cases."""
    counted = count_cases(predictor, cases, on_case=on_case)
    offsets, gains = fit_constants(counted)
    left_out = {}
    if len(counted) > 1:
        found = compare_corrections(counted, {"without": as_trained, "with": constants})
        left_out = {region: found["with"].dice[region] - found["without"].dice[region] for region in REGIONS}
    return Calibration(offsets, gains, left_out, len(counted))


def _for_all_subsets(offsets: Mapping[Region, float], fitted: Mapping[Region, float]) -> Corrections:
    row = {region: Correction(offsets[region], fitted[region]) for region in REGIONS}
    return {subset: row for subset in SUBSETS}  # noqa: C420 (a row that nobody changes)


def _left_out(counted: Sequence[CaseCounts], fit: Fit) -> CorrectionScores:
    dice: dict[Region, list[float]] = {region: [] for region in REGIONS}
    nats: dict[Region, list[float]] = {region: [] for region in REGIONS}
    inside: dict[Region, list[float]] = {region: [] for region in REGIONS}
    for index, case in enumerate(counted):
        corrections = fit([other for at, other in enumerate(counted) if at != index])
        for subset, regions in case.items():
            for region, counts in regions.items():
                correction = corrections.get(subset, {}).get(region, IDENTITY)
                threshold = int(np.argmin(np.abs(LOGIT_EDGES - correction.offset)))
                dice[region].append(float(dice_by_threshold(counts)[threshold]))
                numbers = astuple(correction)
                nats[region].append(cross_entropy([counts], *numbers))
                inside[region].append(inside_cross_entropy([counts], *numbers))
    return CorrectionScores(
        {region: float(np.mean(dice[region])) for region in REGIONS},
        {region: float(np.mean(nats[region])) for region in REGIONS},
        {region: float(np.mean(inside[region])) for region in REGIONS},
    )
