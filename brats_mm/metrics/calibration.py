"""Calibration of a region's probabilities: expected and static calibration error, and the reliability diagram.

All scores are computed from one additive table, so results of many cases can be summed without keeping voxels. The
table has 15 equal-width bins of foreground probability. The middle bin is split at 0.5, which gives 16 rows that each
belong to one predicted class.

SimMLM reports ECE and SCE without defining them. These are the usual definitions (Guo et al. 2017, Nixon et al. 2019).
A probability on an inner edge counts in the upper bin. torchmetrics' calibration error is not used because it keeps
every probability in memory.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float

from brats_mm.domain.prediction import THRESHOLD

BINS = 15
_MIDDLE = BINS // 2
_ROWS = BINS + 1
DEFINITIONS = {
    "ece": (
        "Expected calibration error of the predicted class: sum over 15 equal-width bins of confidence max(p, 1 - p) "
        "of (fraction of voxels) x |accuracy - mean confidence|, over the voxels of the case's brain box."
    ),
    "sce": (
        "Static calibration error: for foreground (p) and background (1 - p), the sum over 15 equal-width bins of "
        "(fraction of voxels) x |fraction of the class - mean probability|, averaged over the two."
    ),
    "class_ece": (
        "Mean of the ECE over the voxels predicted as foreground and the ECE over those predicted as background. "
        "Unlike ECE and SCE, it is not dominated by the background."
    ),
}


@dataclass(frozen=True, eq=False)
class Reliability:
    """Voxel counts by foreground probability. Instances can be added.

    Attributes:
        voxels: (16,) number of voxels per row.
        probability: (16,) sum of foreground probabilities per row.
        positives: (16,) number of reference foreground voxels per row.
    """

    voxels: Float[np.ndarray, "16"]
    probability: Float[np.ndarray, "16"]
    positives: Float[np.ndarray, "16"]

    def __add__(self, other: "Reliability") -> "Reliability":
        return Reliability(
            self.voxels + other.voxels, self.probability + other.probability, self.positives + other.positives
        )

    @property
    def ece(self) -> float:
        """Expected calibration error of the predicted class, 0 to 1. NaN if there are no voxels."""
        foreground, background = self._split_by_class()
        return _compute_error(_sum_mirrored(foreground, background))

    @property
    def sce(self) -> float:
        """Static calibration error, 0 to 1. NaN if there are no voxels.

        With two classes, both have the same error, so computing one is enough.
        """
        return _compute_error(_merge_middle(np.stack([self.voxels, self.probability, self.positives])))

    @property
    def class_ece(self) -> float:
        """Mean of the ECE over predicted foreground and the ECE over predicted background."""
        errors = [_compute_error(rows) for rows in self._split_by_class() if rows[0].sum() > 0]
        return float(np.mean(errors)) if errors else float("nan")

    def curve(self) -> list[dict[str, float | None]]:
        """Return the rows of the foreground's reliability diagram. `probability` and `frequency` are None in empty
        bins.
        """
        voxels, probability, positives = _merge_middle(np.stack([self.voxels, self.probability, self.positives]))
        return [
            {
                "from": index / BINS,
                "to": (index + 1) / BINS,
                "voxels": float(voxels[index]),
                "probability": float(probability[index] / voxels[index]) if voxels[index] else None,
                "frequency": float(positives[index] / voxels[index]) if voxels[index] else None,
            }
            for index in range(BINS)
        ]

    def _split_by_class(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return voxels, summed confidence and correct voxels, (3, rows), of predicted foreground and background."""
        upper, lower = slice(_MIDDLE + 1, None), slice(0, _MIDDLE + 1)
        foreground = np.stack([self.voxels[upper], self.probability[upper], self.positives[upper]])
        voxels = self.voxels[lower]
        background = np.stack([voxels, voxels - self.probability[lower], voxels - self.positives[lower]])
        return foreground, background


def build_reliability(probability: Float[np.ndarray, "..."], reference: Bool[np.ndarray, "..."]) -> Reliability:
    """Count voxels by probability.

    Args:
        probability: foreground probability in [0, 1], any shape.
        reference: foreground mask of the same shape.
    """
    p = probability.reshape(-1)
    row = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    row += p >= THRESHOLD  # rows above the split middle bin shift by one
    return Reliability(
        np.bincount(row, minlength=_ROWS).astype(np.float64),
        np.bincount(row, weights=p, minlength=_ROWS),
        np.bincount(row, weights=reference.reshape(-1), minlength=_ROWS),
    )


def create_empty_reliability() -> Reliability:
    """Return an empty table, to which others can be added."""
    return Reliability(np.zeros(_ROWS), np.zeros(_ROWS), np.zeros(_ROWS))


def _compute_error(rows: npt.NDArray[np.float64]) -> float:
    """Return the sum over bins of (fraction of voxels) x |accuracy - mean confidence|."""
    voxels, confidence, right = rows
    total = voxels.sum()
    return float(np.abs(right - confidence).sum() / total) if total else float("nan")


def _sum_mirrored(foreground: npt.NDArray[np.float64], background: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Add the rows of both classes by confidence. Foreground rows ascend from 0.5, background rows descend to it."""
    return np.asarray(foreground + background[:, ::-1])


def _merge_middle(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Merge the two halves of the middle bin: 16 rows to 15 bins."""
    merged = np.delete(rows, _MIDDLE + 1, axis=1)
    merged[:, _MIDDLE] += rows[:, _MIDDLE + 1]
    return np.asarray(merged)
