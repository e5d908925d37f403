"""Fit offsets and temperatures to a trained model's logits on labelled cases.

`calibration_choice` measures how they generalise to other cases.
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
from brats_mm.metrics.operating_point import LogitCounts, compute_dice_by_threshold, count_logits, find_best_offset
from brats_mm.metrics.temperature import fit_inside_temperature, fit_temperature

OnCase = Callable[[int, int, str], None]
"""Called after each case with the number of finished cases, the total and the case's name."""

CaseCounts = Mapping[Availability, Mapping[Region, LogitCounts]]
"""A case's logit histograms, for each subset of its sequences."""


@dataclass(frozen=True)
class FittedSubsets:
    """Fitted corrections per subset, and their gains on the cases that they were fitted to.

    Attributes:
        calibration: the corrections.
        dice_gains: region -> mean Dice gained by the offsets over cases and subsets, in [0, 1]. 0 if there are no
            offsets.
        saved_nats: region -> cross-entropy saved by the temperatures in nats per voxel, the mean over subsets. Counts
            uncertain voxels, or foreground voxels for foreground temperatures.
    """

    calibration: SubsetCalibration
    dice_gains: dict[Region, float]
    saved_nats: dict[Region, float]


def calibrate_subsets(
    predictor: Predictor, cases: Sequence[LabelledCase], *, on_case: OnCase | None = None
) -> FittedSubsets:
    """Fit an offset for the highest mean Dice, then a temperature, per subset and region.

    This fits ninety numbers. With a dozen cases or fewer, prefer one constant per region
    (`calibration_choice.calibrate`).

    Args:
        predictor: loaded model without calibration.
        cases: labelled cases that were not used in training.
        on_case: called after each case.
    """
    return fit_subsets(count_cases(predictor, cases, on_case=on_case))


def calibrate_confidence(
    predictor: Predictor, cases: Sequence[LabelledCase], *, on_case: OnCase | None = None
) -> FittedSubsets:
    """Fit a foreground temperature per subset and region. The segmentation is unchanged.

    Args:
        predictor: loaded model without calibration.
        cases: labelled cases that were not used in training.
        on_case: called after each case.
    """
    return fit_confidence(count_cases(predictor, cases, on_case=on_case))


def fit_constants(cases: Sequence[CaseCounts]) -> tuple[dict[Region, float], dict[Region, float]]:
    """Fit the offset of each region for the highest mean Dice over cases and subsets.

    Args:
        cases: counts of each case, from `count_cases`.

    Returns:
        Offset of each region, and mean Dice gained in [0, 1].
    """
    fitted = {
        region: find_best_offset(
            np.stack([compute_dice_by_threshold(counts_of_case) for counts_of_case in _pool_subsets(cases, region)])
        )
        for region in REGIONS
    }
    return {region: fitted[region][0] for region in REGIONS}, {region: fitted[region][1] for region in REGIONS}


def fit_temperatures(cases: Sequence[CaseCounts], offsets: Mapping[Region, float]) -> dict[Region, float]:
    """Fit a temperature per region over all subsets, after subtracting the offsets.

    Args:
        cases: counts of each case, from `count_cases`.
        offsets: offset of each region.
    """
    return {region: fit_temperature(_pool_subsets(cases, region), offsets[region])[0] for region in REGIONS}


def fit_subsets(cases: Sequence[CaseCounts]) -> FittedSubsets:
    """Fit an offset and a temperature per subset and region.

    Args:
        cases: counts of each case, from `count_cases`.
    """

    def fit(counts: Sequence[LogitCounts]) -> _Fitted:
        offset, gain = find_best_offset(
            np.stack([compute_dice_by_threshold(counts_of_case) for counts_of_case in counts])
        )
        temperature, nats = fit_temperature(counts, offset)
        return _Fitted(Correction(offset, temperature), gain, nats)

    return _fit_each_subset(cases, fit)


def fit_confidence(cases: Sequence[CaseCounts]) -> FittedSubsets:
    """Fit a foreground temperature per subset and region. The segmentation is unchanged.

    Args:
        cases: counts of each case, from `count_cases`.
    """

    def fit(counts: Sequence[LogitCounts]) -> _Fitted:
        inside, nats = fit_inside_temperature(counts)
        return _Fitted(Correction(foreground_temperature=inside), 0.0, nats)

    return _fit_each_subset(cases, fit)


@dataclass(frozen=True)
class _Fitted:
    correction: Correction
    gain: float
    nats: float


def _fit_each_subset(cases: Sequence[CaseCounts], fit: Callable[[Sequence[LogitCounts]], _Fitted]) -> FittedSubsets:
    """Fit each region and subset on the cases that have the subset's sequences."""
    corrections: dict[Availability, dict[Region, Correction]] = {}
    gains: dict[Region, list[float]] = {region: [] for region in REGIONS}
    saved: dict[Region, list[float]] = {region: [] for region in REGIONS}
    for subset in SUBSETS:
        complete = [case[subset] for case in cases if subset in case]
        if not complete:
            continue
        row = {}
        for region in REGIONS:
            fitted = fit([regions[region] for regions in complete])
            row[region] = fitted.correction
            gains[region] += [fitted.gain] * len(complete)
            saved[region].append(fitted.nats)
        corrections[subset] = row
    return FittedSubsets(
        SubsetCalibration(len(cases), corrections),
        {region: float(np.mean(gains[region])) for region in REGIONS},
        {region: float(np.mean(saved[region])) for region in REGIONS},
    )


def count_cases(
    predictor: Predictor, cases: Sequence[LabelledCase], *, on_case: OnCase | None = None
) -> tuple[CaseCounts, ...]:
    """Count the logits inside and outside each region, for each case and each subset of its sequences.

    Args:
        predictor: loaded model.
        cases: labelled cases.
        on_case: called after each case.

    Returns:
        Logit histograms of each case, by subset and region.
    """
    results = []
    for done, labelled in enumerate(cases, start=1):
        case = read_case(labelled.files)
        reference = read_reference(labelled.label, case.grid, labelled.scheme)
        sets = [subset for subset in SUBSETS if subset <= case.available]
        predictions = predictor.predict_subsets(case, sets)
        counts: dict[Availability, dict[Region, LogitCounts]] = {}
        for subset in sets:
            probabilities = predictions.pop(subset).probabilities
            counts[subset] = {region: count_logits(probabilities[region], reference[region]) for region in REGIONS}
        results.append(counts)
        if on_case is not None:
            on_case(done, len(cases), labelled.files.name)
    return tuple(results)


def _pool_subsets(cases: Sequence[CaseCounts], region: Region) -> list[LogitCounts]:
    return [sets[region] for case in cases for sets in case.values()]
