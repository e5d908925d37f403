"""Which correction after training helps cases that it was not fitted on.

Each labelled case is left out in turn, every correction is fitted on the others and applied to it. So constants, and
the ninety numbers of a correction by subset, are judged alike, however few the cases are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from brats_mm.domain.availability import SUBSETS, Availability
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.subset_calibration import AS_IT_IS, Correction
from brats_mm.errors import OptionError
from brats_mm.metrics.operating_point import LOGIT_EDGES, dice_by_threshold
from brats_mm.metrics.temperature import best_temperature, cross_entropy
from brats_mm.usecases.calibration import CaseCounts, fit_constants, fit_subsets

Corrections = Mapping[Availability, Mapping[Region, Correction]]
Fit = Callable[[Sequence[CaseCounts]], Corrections]


@dataclass(frozen=True)
class CorrectionScores:
    """What a correction gives on the cases that were left out.

    Attributes:
        dice: region -> mean Dice over cases and their subsets, in [0, 1]; 1 where reference and prediction are empty.
        cross_entropy: region -> nats a voxel in doubt (`metrics.temperature.cross_entropy`), the mean over cases and
            subsets.
    """

    dice: Mapping[Region, float]
    cross_entropy: Mapping[Region, float]


def as_trained(_: Sequence[CaseCounts]) -> Corrections:
    """No correction."""
    return {subset: dict.fromkeys(REGIONS, AS_IT_IS) for subset in SUBSETS}


def constants(counted: Sequence[CaseCounts]) -> Corrections:
    """A constant a region, the same for all subsets."""
    row = {region: Correction(offset) for region, offset in fit_constants(counted).offsets.items()}
    return dict.fromkeys(SUBSETS, row)


def constants_and_temperatures(counted: Sequence[CaseCounts]) -> Corrections:
    """A constant and a temperature a region, the same for all subsets."""
    row = {}
    for region, offset in fit_constants(counted).offsets.items():
        seen = [sets[region] for case in counted for sets in case.values()]
        row[region] = Correction(offset, best_temperature(seen, offset)[0])
    return dict.fromkeys(SUBSETS, row)


def by_subset(counted: Sequence[CaseCounts]) -> Corrections:
    """A constant and a temperature for each subset and region."""
    return fit_subsets(counted).calibration.corrections


WAYS: Mapping[str, Fit] = {
    "as trained": as_trained,
    "constants": constants,
    "constants and temperatures": constants_and_temperatures,
    "by subset": by_subset,
}


def compare_corrections(counted: Sequence[CaseCounts], ways: Mapping[str, Fit] = WAYS) -> dict[str, CorrectionScores]:
    """Score every way on cases that it was not fitted on.

    Args:
        counted: of each case, from `usecases.calibration.count_cases`.
        ways: name -> what fits it.

    Raises:
        OptionError: there are fewer than two cases.
    """
    if len(counted) < 2:
        message = f"Leaving one out needs two labelled cases or more; there are {len(counted)}."
        raise OptionError(message)
    return {name: _left_out(counted, fit) for name, fit in ways.items()}


def _left_out(counted: Sequence[CaseCounts], fit: Fit) -> CorrectionScores:
    dice: dict[Region, list[float]] = {region: [] for region in REGIONS}
    nats: dict[Region, list[float]] = {region: [] for region in REGIONS}
    for index, case in enumerate(counted):
        corrections = fit([other for at, other in enumerate(counted) if at != index])
        for subset, regions in case.items():
            for region, counts in regions.items():
                correction = corrections.get(subset, {}).get(region, AS_IT_IS)
                threshold = int(np.argmin(np.abs(LOGIT_EDGES - correction.offset)))
                dice[region].append(float(dice_by_threshold(counts)[threshold]))
                nats[region].append(cross_entropy([counts], correction.offset, correction.temperature))
    return CorrectionScores(
        {region: float(np.mean(dice[region])) for region in REGIONS},
        {region: float(np.mean(nats[region])) for region in REGIONS},
    )
