"""Choice of a region's logit threshold: Dice at every threshold, from one histogram per case.

A network trained on windows that favour tumour over-segments whole heads. Subtracting a constant from a region's logits
moves the threshold and improves calibration.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from brats_mm.domain.label_map import Mask
from brats_mm.domain.volume import Array

LOGIT_EDGES = np.linspace(-6, 6, 241)
"""Candidate thresholds, 0.05 apart, including 0."""

Curve = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LogitCounts:
    """Voxels per bin between the thresholds: (n + 1,) for n thresholds, including both open ends.

    Attributes:
        inside: reference voxels of the region.
        outside: all other voxels.
    """

    inside: npt.NDArray[np.int64]
    outside: npt.NDArray[np.int64]


def count_logits(probability: Array, truth: Mask) -> LogitCounts:
    """Count a region's logits inside and outside its reference mask of the same shape.

    Args:
        probability: probability of the region, 0 to 1, any shape.
        truth: reference mask of the same shape.
    """
    logit_bins = np.searchsorted(1 / (1 + np.exp(-LOGIT_EDGES)), probability.ravel(), side="right")
    flat, bins = truth.ravel(), len(LOGIT_EDGES) + 1
    return LogitCounts(np.bincount(logit_bins[flat], minlength=bins), np.bincount(logit_bins[~flat], minlength=bins))


def compute_dice_by_threshold(counts: LogitCounts) -> Curve:
    """Return the Dice at each threshold of `LOGIT_EDGES`. It is 1 if reference and prediction are both empty.

    Args:
        counts: histogram of one case.

    Returns:
        Dice in [0, 1], one per threshold.
    """
    hits = np.cumsum(counts.inside[::-1])[::-1][1:].astype(np.float64)
    false = np.cumsum(counts.outside[::-1])[::-1][1:]
    size = hits + false + counts.inside.sum()
    dice: Curve = np.divide(2 * hits, size, out=np.ones_like(hits), where=size > 0)
    return dice


def find_best_offset(curves: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the threshold with the highest mean Dice, and its gain over threshold 0.

    Ties are resolved in favour of the threshold nearest to 0.

    Args:
        curves: (n, thresholds) Dice curves.
    """
    mean = curves.mean(axis=0)
    order = np.lexsort((np.abs(LOGIT_EDGES), -mean))
    best = int(order[0])
    zero = int(np.argmin(np.abs(LOGIT_EDGES)))
    return float(LOGIT_EDGES[best]), float(mean[best] - mean[zero])
