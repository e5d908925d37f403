"""Fitting constants and temperatures to a model's logits on labelled cases, after its training.

`calibration_choice` says what they give on cases that they were not fitted on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from brats_mm.domain.availability import SUBSETS, Availability
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.subset_calibration import Correction, SubsetCalibration
from brats_mm.inference.predictor import Predictor
from brats_mm.io.case import read_case
from brats_mm.io.labelled_cases import LabelledCase
from brats_mm.io.reference_labels import read_reference
from brats_mm.metrics.operating_point import LogitCounts, best_offset, count_logits, dice_by_threshold
from brats_mm.metrics.temperature import best_inside_temperature, best_temperature

OnCase = Callable[[int, int, str], None]
"""Called after each case with cases done, cases in all, and the case's name."""

CaseCounts = Mapping[Availability, Mapping[Region, LogitCounts]]
"""A case's histograms of logits, for each subset that it can show."""


@dataclass(frozen=True)
class FittedSubsets:
    """A correction for each subset, and what they gave.

    Attributes:
        calibration: the corrections.
        dice_gains: region -> what the offsets add to the mean Dice over cases and subsets, in [0, 1]; 0 without them.
        saved_nats: region -> cross-entropy that the temperatures save for each voxel in doubt, or, if they are for the
            inside alone, for each voxel there; the mean over subsets.
    """

    calibration: SubsetCalibration
    dice_gains: dict[Region, float]
    saved_nats: dict[Region, float]


def calibrate_subsets(
    predictor: Predictor, cases: Sequence[LabelledCase], *, on_case: OnCase | None = None
) -> FittedSubsets:
    """For each subset and region, the offset with the highest mean Dice, and then the temperature that is honest.

    Ninety numbers are fitted to these cases: with a dozen of them or fewer, a constant for each region is the safer
    choice (`calibration_choice.calibrate`).
    """
    return fit_subsets(count_cases(predictor, cases, on_case=on_case))


def calibrate_certainty(
    predictor: Predictor, cases: Sequence[LabelledCase], *, on_case: OnCase | None = None
) -> FittedSubsets:
    """For each subset and region, the temperature of the inside that is honest; no outline moves."""
    return fit_certainty(count_cases(predictor, cases, on_case=on_case))


def fit_constants(counted: Sequence[CaseCounts]) -> tuple[dict[Region, float], dict[Region, float]]:
    """The constant to take off each region's logits for the highest mean Dice over cases and subsets; what it adds."""
    found = {
        region: best_offset(np.stack([dice_by_threshold(one) for one in _of_all_subsets(counted, region)]))
        for region in REGIONS
    }
    return {region: found[region][0] for region in REGIONS}, {region: found[region][1] for region in REGIONS}


def fit_temperatures(counted: Sequence[CaseCounts], offsets: Mapping[Region, float]) -> dict[Region, float]:
    """The temperature for each region's logits, less their constants, that is most honest over all subsets together."""
    return {region: best_temperature(_of_all_subsets(counted, region), offsets[region])[0] for region in REGIONS}


def fit_subsets(counted: Sequence[CaseCounts]) -> FittedSubsets:
    """An offset and a temperature for each subset and region."""

    def chosen(counts: Sequence[LogitCounts]) -> _Chosen:
        offset, gain = best_offset(np.stack([dice_by_threshold(one) for one in counts]))
        temperature, nats = best_temperature(counts, offset)
        return _Chosen(Correction(offset, temperature), gain, nats)

    return _for_each_subset(counted, chosen)


def fit_certainty(counted: Sequence[CaseCounts]) -> FittedSubsets:
    """For each subset and region, how much less sure to be of what is called the region; no outline moves."""

    def chosen(counts: Sequence[LogitCounts]) -> _Chosen:
        inside, nats = best_inside_temperature(counts)
        return _Chosen(Correction(inside=inside), 0.0, nats)

    return _for_each_subset(counted, chosen)


@dataclass(frozen=True)
class _Chosen:
    correction: Correction
    gain: float
    nats: float


def _for_each_subset(
    counted: Sequence[CaseCounts], choose: Callable[[Sequence[LogitCounts]], _Chosen]
) -> FittedSubsets:
    """What is chosen for each region on the cases that can show a subset."""
    corrections: dict[Availability, dict[Region, Correction]] = {}
    gains: dict[Region, list[float]] = {region: [] for region in REGIONS}
    saved: dict[Region, list[float]] = {region: [] for region in REGIONS}
    for subset in SUBSETS:
        shown = [case[subset] for case in counted if subset in case]
        if not shown:
            continue
        row = {}
        for region in REGIONS:
            chosen = choose([regions[region] for regions in shown])
            row[region] = chosen.correction
            gains[region] += [chosen.gain] * len(shown)
            saved[region].append(chosen.nats)
        corrections[subset] = row
    return FittedSubsets(
        SubsetCalibration(len(counted), corrections),
        {region: float(np.mean(gains[region])) for region in REGIONS},
        {region: float(np.mean(saved[region])) for region in REGIONS},
    )


def count_cases(
    predictor: Predictor, cases: Sequence[LabelledCase], *, on_case: OnCase | None = None
) -> tuple[CaseCounts, ...]:
    """Histograms of the logits inside and outside of every region, of each case under each subset that it can show."""
    counted = []
    for done, labelled in enumerate(cases, start=1):
        case = read_case(labelled.files)
        reference = read_reference(labelled.label, case.grid, labelled.scheme)
        sets = [subset for subset in SUBSETS if subset <= case.available]
        predictions = predictor.predict_subsets(case, sets)
        found: dict[Availability, dict[Region, LogitCounts]] = {}
        for subset in sets:
            probabilities = predictions.pop(subset).probabilities
            found[subset] = {region: count_logits(probabilities[region], reference[region]) for region in REGIONS}
        counted.append(found)
        if on_case is not None:
            on_case(done, len(cases), labelled.files.name)
    return tuple(counted)


def _of_all_subsets(counted: Sequence[CaseCounts], region: Region) -> list[LogitCounts]:
    return [sets[region] for case in counted for sets in case.values()]
