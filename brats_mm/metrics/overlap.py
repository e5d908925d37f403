"""Dice, sensitivity and precision of two masks, from voxel counts."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from brats_mm.metrics.empty import EmptyPolicy


@dataclass(frozen=True)
class Counts:
    """Voxel counts of a predicted and a reference mask.

    Attributes:
        both: true positives.
        only_predicted: false positives.
        only_reference: false negatives.
    """

    both: int
    only_predicted: int
    only_reference: int

    @property
    def predicted(self) -> int:
        """Predicted voxels."""
        return self.both + self.only_predicted

    @property
    def reference(self) -> int:
        """Reference voxels."""
        return self.both + self.only_reference


@dataclass(frozen=True)
class Overlap:
    """Scores in [0, 1]. NaN if the policy skips the case or a denominator is zero."""

    dice: float
    sensitivity: float
    precision: float


def count(predicted: Bool[np.ndarray, "h w d"], reference: Bool[np.ndarray, "h w d"]) -> Counts:
    """Count true positives, false positives and false negatives.

    Args:
        predicted, reference: masks of the same shape.
    """
    both = int(np.count_nonzero(predicted & reference))
    return Counts(both, int(np.count_nonzero(predicted)) - both, int(np.count_nonzero(reference)) - both)


def compute_overlap(counts: Counts, policy: EmptyPolicy) -> Overlap:
    """Compute Dice `2 TP / (2 TP + FP + FN)`, sensitivity `TP / (TP + FN)` and precision `TP / (TP + FP)`.

    Args:
        counts: voxel counts from `count`.
        policy: scoring of empty regions.
    """
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
