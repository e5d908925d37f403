"""Where to cut a region's logits: Dice at every threshold, from histograms that are gathered once.

A network trained on windows that favour the tumour calls too much of it in whole heads. A constant taken off a region's
logits moves its threshold of 0.5 to a better place, and its probabilities towards honest ones.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from brats_mm.domain.label_map import Mask
from brats_mm.domain.volume import Array

LOGIT_EDGES = np.linspace(-6, 6, 241)
"""Thresholds that are looked at, 0.05 apart; 0 is one of them."""

Curve = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LogitCounts:
    """Voxels between neighbouring thresholds, below the first and above the last: (n + 1,) for n thresholds.

    Attributes:
        inside: voxels of the region.
        outside: all others.
    """

    inside: npt.NDArray[np.int64]
    outside: npt.NDArray[np.int64]


def count_logits(probability: Array, truth: Mask) -> LogitCounts:
    """Counts of a region's logits, inside and outside of its reference; arrays of one shape."""
    logit_bins = np.searchsorted(1 / (1 + np.exp(-LOGIT_EDGES)), probability.ravel(), side="right")
    flat, bins = truth.ravel(), len(LOGIT_EDGES) + 1
    return LogitCounts(np.bincount(logit_bins[flat], minlength=bins), np.bincount(logit_bins[~flat], minlength=bins))


def dice_by_threshold(counts: LogitCounts) -> Curve:
    """Dice of the voxels at or above each of `LOGIT_EDGES`; 1 where neither reference nor prediction has any."""
    hits = np.cumsum(counts.inside[::-1])[::-1][1:].astype(np.float64)
    false = np.cumsum(counts.outside[::-1])[::-1][1:]
    size = hits + false + counts.inside.sum()
    dice: Curve = np.divide(2 * hits, size, out=np.ones_like(hits), where=size > 0)
    return dice


def best_offset(curves: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The threshold with the highest mean Dice over curves (n, thresholds), and how much Dice it gains over 0.

    Of equally good ones, the nearest to 0.
    """
    mean = curves.mean(axis=0)
    order = np.lexsort((np.abs(LOGIT_EDGES), -mean))
    best = int(order[0])
    zero = int(np.argmin(np.abs(LOGIT_EDGES)))
    return float(LOGIT_EDGES[best]), float(mean[best] - mean[zero])
