"""Overlap of two masks: Dice, sensitivity, precision, from counts of voxels."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from brats_mm.metrics.empty import EmptyPolicy


@dataclass(frozen=True)
class Counts:
    """Voxels of a predicted and a reference mask.

    Attributes:
        both: in both (true positives).
        only_predicted: false positives.
        only_reference: false negatives.
    """

    both: int
    only_predicted: int
    only_reference: int

    @property
    def predicted(self) -> int:
        """Voxels of the prediction."""
        return self.both + self.only_predicted

    @property
    def reference(self) -> int:
        """Voxels of the reference."""
        return self.both + self.only_reference


@dataclass(frozen=True)
class Overlap:
    """Scores in [0, 1]; NaN where the policy leaves the case out or a ratio has no denominator."""

    dice: float
    sensitivity: float
    precision: float


def count(predicted: Bool[np.ndarray, "h w d"], reference: Bool[np.ndarray, "h w d"]) -> Counts:
    """How many voxels the two masks share, and how many each has alone."""
    both = int(np.count_nonzero(predicted & reference))
    return Counts(both, int(np.count_nonzero(predicted)) - both, int(np.count_nonzero(reference)) - both)


def overlap(counts: Counts, policy: EmptyPolicy) -> Overlap:
    """Dice `2 TP / (2 TP + FP + FN)`, sensitivity `TP / (TP + FN)`, precision `TP / (TP + FP)`."""
    if counts.reference == 0:
        if policy is EmptyPolicy.SKIP:
            return Overlap(math.nan, math.nan, math.nan)
        return Overlap(1.0, 1.0, 1.0) if counts.predicted == 0 else Overlap(0.0, math.nan, 0.0)
    precision = counts.both / counts.predicted if counts.predicted else math.nan
    return Overlap(
        dice=2 * counts.both / (counts.predicted + counts.reference),
        sensitivity=counts.both / counts.reference,
        precision=precision,
    )
