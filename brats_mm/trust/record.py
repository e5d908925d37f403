"""Records of an evaluation for each segmentation, so that trust can be fitted without voxels."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from brats_mm.domain.availability import SUBSET_OF, Availability
from brats_mm.domain.label_map import Mask
from brats_mm.domain.regions import Region
from brats_mm.domain.subset_calibration import Correction
from brats_mm.domain.volume import Array
from brats_mm.trust.case_dice import compute_expected_voxels, estimate_dice

BACKGROUND_PROBABILITY = 1e-8
"""Probabilities below this are outside the brain, where no correction applies."""


@dataclass(frozen=True)
class TrustRecord:
    """A row of `trust.csv`: one region of a case, segmented with one subset of its sequences.

    Attributes:
        case: the case's name.
        subset: the sequences used, such as `t1ce+flair`.
        region: wt, tc or et.
        dice: Dice of the label map, 0 to 1.
        estimated_dice: Dice estimated from the probabilities alone. NaN if nothing was segmented.
        predicted_ml, reference_ml: volume of the label map and of the reference.
        expected_ml: sum of the probabilities.
        mean_entropy_nats: mean entropy over the segmented voxels, 0 to ln 2. NaN if nothing was segmented.
        class_ece: class-wise ECE over the case's brain box.
        class_ece_uncalibrated: the same without the bundle's temperatures.
    """

    case: str
    subset: str
    region: str
    dice: float
    estimated_dice: float
    predicted_ml: float
    reference_ml: float
    expected_ml: float
    mean_entropy_nats: float
    class_ece: float
    class_ece_uncalibrated: float


CaseRecords: TypeAlias = Mapping[tuple[Availability, Region], TrustRecord]
"""Return the records of one case by subset and region."""


def group_by_case(records: Iterable[TrustRecord]) -> dict[str, CaseRecords]:
    """Group records by case. Records without a Dice are omitted."""
    cases: dict[str, dict[tuple[Availability, Region], TrustRecord]] = defaultdict(dict)
    for record in records:
        if not math.isnan(record.dice):
            cases[record.case][SUBSET_OF[record.subset], Region(record.region)] = record
    return dict(cases)


def compute_probability_scores(probability: Array, inside: Mask, voxel_ml: float) -> dict[str, Any]:
    """Return the columns of `TrustRecord` that need no reference, except the entropy.

    Args:
        probability: probability of the region, 0 to 1, any shape.
        inside: segmentation of the same shape.
        voxel_ml: volume of a voxel in millilitres.
    """
    estimate = estimate_dice(probability, inside)
    return {
        "estimated_dice": float("nan") if estimate is None else estimate,
        "predicted_ml": np.count_nonzero(inside) * voxel_ml,
        "expected_ml": compute_expected_voxels(probability) * voxel_ml,
    }


def undo_correction(probability: Array, correction: Correction) -> Array:
    """Undo a correction of the logits, and return the uncorrected probabilities.

    Args:
        probability: corrected probabilities, 0 to 1, any shape.
        correction: the correction that was applied.
    """
    moved = (correction.offset, correction.temperature) != (0, 1)
    if not moved and correction.foreground_temperature == 1:
        return probability
    changed = probability > (BACKGROUND_PROBABILITY if moved else 0.5)
    result = probability.copy()
    corrected = probability[changed].astype(np.float64)
    with np.errstate(divide="ignore"):
        logits = np.log(corrected) - np.log1p(-corrected)
    logits = np.where(logits > 0, logits * correction.foreground_temperature, logits)
    result[changed] = 1 / (1 + np.exp(-(logits * correction.temperature + correction.offset)))
    return result
