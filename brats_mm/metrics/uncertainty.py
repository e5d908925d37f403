"""Uncertainty as a predictor of errors: AUROC of entropy, and the filtered-Dice curves of QU-BraTS.

All scores are computed from one additive table: true and false positives and negatives by entropy, in bins fine enough
that the ranking within a bin does not matter. Tables of many cases can be summed without keeping voxels.

QU-BraTS (Mehta et al. 2022) drops voxels whose uncertainty, scaled to 0 to 100, exceeds a threshold. It then measures
the Dice of the remaining voxels and the fractions of true positives and true negatives lost. Its score is the mean of
the area under the Dice curve and of one minus the areas under the two other curves. Here, uncertainty is the region's
entropy over ln 2, thresholds run from 0 to 100 in steps of one, and voxels are those of the case's brain box.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float

from brats_mm.domain.entropy import MAX_BINARY_NATS

BINS = 1000
THRESHOLDS = np.arange(101)
"""QU-BraTS thresholds: entropy over ln 2, in percent."""

TRUE_POSITIVE, FALSE_POSITIVE, FALSE_NEGATIVE, TRUE_NEGATIVE = range(4)


@dataclass(frozen=True, eq=False)
class FilteredCurve:
    """QU-BraTS curves over the 101 thresholds.

    Attributes:
        dice: Dice of the voxels kept, 1 if no foreground is left.
        lost_true_positives: fraction of true positives dropped. 0 if there are none.
        lost_true_negatives: fraction of true negatives dropped. 0 if there are none.
        kept: fraction of voxels kept.
    """

    dice: Float[np.ndarray, "101"]
    lost_true_positives: Float[np.ndarray, "101"]
    lost_true_negatives: Float[np.ndarray, "101"]
    kept: Float[np.ndarray, "101"]

    @property
    def score(self) -> float:
        """QU-BraTS score in [0, 1]. Higher is better."""
        areas = [
            _compute_area(self.dice),
            1 - _compute_area(self.lost_true_positives),
            1 - _compute_area(self.lost_true_negatives),
        ]
        return float(np.mean(areas))


@dataclass(frozen=True, eq=False)
class EntropyTable:
    """Voxel counts (4, 1001) by outcome (TP, FP, FN, TN) and entropy. Instances can be added.

    Column k counts the voxels whose entropy over ln 2 rounds up to k thousandths. A threshold of at least k thousandths
    keeps them.
    """

    voxels: Float[np.ndarray, "4 1001"]

    def __add__(self, other: "EntropyTable") -> "EntropyTable":
        return EntropyTable(self.voxels + other.voxels)

    @property
    def auroc(self) -> float:
        """AUROC of entropy for wrong against correct voxels. NaN unless both kinds exist."""
        errors = self.voxels[FALSE_POSITIVE] + self.voxels[FALSE_NEGATIVE]
        right = self.voxels[TRUE_POSITIVE] + self.voxels[TRUE_NEGATIVE]
        pairs = errors.sum() * right.sum()
        if not pairs:
            return math.nan
        below = np.cumsum(right) - right
        return float((errors * (below + 0.5 * right)).sum() / pairs)

    def filtered(self) -> FilteredCurve:
        """Compute the QU-BraTS curves."""
        cumulative = np.cumsum(self.voxels, axis=1)[:, THRESHOLDS * (BINS // 100)]
        every = self.voxels.sum(axis=1)
        foreground = 2 * cumulative[TRUE_POSITIVE] + cumulative[FALSE_POSITIVE] + cumulative[FALSE_NEGATIVE]
        dice = np.divide(2 * cumulative[TRUE_POSITIVE], foreground, out=np.ones(len(THRESHOLDS)), where=foreground > 0)
        return FilteredCurve(
            dice=dice,
            lost_true_positives=_compute_lost(cumulative[TRUE_POSITIVE], every[TRUE_POSITIVE]),
            lost_true_negatives=_compute_lost(cumulative[TRUE_NEGATIVE], every[TRUE_NEGATIVE]),
            kept=1 - _compute_lost(cumulative.sum(axis=0), every.sum()),
        )


def build_entropy_table(
    entropy_nats: Float[np.ndarray, "..."], predicted: Bool[np.ndarray, "..."], reference: Bool[np.ndarray, "..."]
) -> EntropyTable:
    """Count voxels by outcome and entropy.

    Args:
        entropy_nats: entropy of the region's probability, 0 to ln 2, any shape.
        predicted, reference: masks of the same shape.
    """
    share = np.ceil(entropy_nats.reshape(-1) * (BINS / MAX_BINARY_NATS) - 1e-3).astype(np.int64)
    np.clip(share, 0, BINS, out=share)  # a float32 maximum may pass ln 2 by a rounding error
    positive, true = predicted.reshape(-1), reference.reshape(-1)
    outcome = np.full(share.shape, TRUE_NEGATIVE, np.int64)
    outcome[positive & true] = TRUE_POSITIVE
    outcome[positive & ~true] = FALSE_POSITIVE
    outcome[~positive & true] = FALSE_NEGATIVE
    counts = np.bincount(outcome * (BINS + 1) + share, minlength=4 * (BINS + 1))
    return EntropyTable(counts.reshape(4, BINS + 1).astype(np.float64))


def create_empty_entropy_table() -> EntropyTable:
    """Return an empty table, to which others can be added."""
    return EntropyTable(np.zeros((4, BINS + 1)))


def _compute_lost(cumulative: npt.NDArray[np.float64], every: float) -> npt.NDArray[np.float64]:
    return np.asarray((every - cumulative) / every) if every else np.zeros(len(THRESHOLDS))


def _compute_area(curve: npt.NDArray[np.float64]) -> float:
    """Integrate a curve over thresholds scaled to [0, 1] by the trapezoidal rule."""
    return float((curve[1:] + curve[:-1]).mean() / 2)
