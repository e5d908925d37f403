"""The temperature that makes a region's probabilities honest, from histograms of its logits (Guo et al., ICML 2017)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from brats_mm.metrics.operating_point import LOGIT_EDGES, Curve, LogitCounts

TEMPERATURES = (0.25, 4.0)
"""Between these the best is looked for; one at the end says that more cases are needed, or another model."""

INSIDE_TEMPERATURES = (0.25, 20.0)
"""The same for what is inside an outline: where less than half of it is right, no temperature is high enough."""

_MIDDLES = (LOGIT_EDGES[1:] + LOGIT_EDGES[:-1]) / 2
_INSIDE_LOGITS = np.append(_MIDDLES[_MIDDLES > 0], LOGIT_EDGES[-1])
"""Of the histogram's bins above 0, the last one's edge: what is beyond it is not known better."""


def best_temperature(counts: Sequence[LogitCounts], offset: float) -> tuple[float, float]:
    """The temperature T with the least cross-entropy of `sigmoid((logit - offset) / T)`, and what it saves over T = 1.

    Only voxels with logits within the edges of the histogram count, -6 to 6 (probabilities from 0.2 to 99.8 %): the
    background that nobody doubts is a hundred times as much, and would decide alone. A logit counts as the middle of
    its bin, 0.05 wide.

    Args:
        counts: of cases, added up.
        offset: taken off the logits first.

    Returns:
        The temperature, and nats a voxel saved, 0 or more; 1 and 0 where no voxel is in doubt.
    """
    doubted = _in_doubt(counts)
    return _least(lambda temperature: _nats(doubted, offset, temperature, 1.0), TEMPERATURES)


def best_inside_temperature(counts: Sequence[LogitCounts]) -> tuple[float, float]:
    """The temperature T with the least cross-entropy of `sigmoid(logit / T)` over the voxels above 0.

    All of them count, those beyond the last edge as if they stood on it: none is background.

    Args:
        counts: of cases, added up.

    Returns:
        The temperature, and nats a voxel saved, 0 or more; 1 and 0 where no voxel is above 0.
    """
    called = _above_zero(counts)
    return _least(lambda inside: _nats(called, 0.0, 1.0, inside), INSIDE_TEMPERATURES)


def inside_cross_entropy(
    counts: Sequence[LogitCounts], offset: float = 0.0, temperature: float = 1.0, inside: float = 1.0
) -> float:
    """Mean cross-entropy of corrected logits, in nats, over the voxels that were above 0; 0 where there are none."""
    return _nats(_above_zero(counts), offset, temperature, inside)


def cross_entropy(
    counts: Sequence[LogitCounts], offset: float = 0.0, temperature: float = 1.0, inside: float = 1.0
) -> float:
    """Mean cross-entropy of corrected logits (`domain.subset_calibration`), in nats, over the voxels in doubt.

    0 where no voxel is in doubt. Which are in doubt follows from the logits as they were given, so that corrections can
    be compared.
    """
    return _nats(_in_doubt(counts), offset, temperature, inside)


@dataclass(frozen=True)
class _Voxels:
    """Voxels by their logits: how many have each of them inside the reference (`right`), how many outside (`wrong`)."""

    logits: Curve
    right: Curve
    wrong: Curve


def _in_doubt(counts: Sequence[LogitCounts]) -> _Voxels:
    return _of_bins(counts, slice(1, -1), _MIDDLES)


def _above_zero(counts: Sequence[LogitCounts]) -> _Voxels:
    return _of_bins(counts, slice(-len(_INSIDE_LOGITS), None), _INSIDE_LOGITS)


def _of_bins(counts: Sequence[LogitCounts], bins: slice, logits: Curve) -> _Voxels:
    right = np.stack([one.inside[bins] for one in counts]).sum(axis=0, dtype=np.float64)
    wrong = np.stack([one.outside[bins] for one in counts]).sum(axis=0, dtype=np.float64)
    return _Voxels(logits, right, wrong)


def _nats(voxels: _Voxels, offset: float, temperature: float, inside: float) -> float:
    total = voxels.right.sum() + voxels.wrong.sum()
    if total == 0:
        return 0.0
    moved = (voxels.logits - offset) / temperature
    scaled = np.where(moved > 0, moved / inside, moved)
    return float((voxels.right @ np.logaddexp(0, -scaled) + voxels.wrong @ np.logaddexp(0, scaled)) / total)


def _least(nats: Callable[[float], float], bounds: tuple[float, float]) -> tuple[float, float]:
    """The temperature between the bounds with the fewest nats, and what it saves over 1; 1 and 0 if it saves none."""
    low, high = np.log(bounds)
    found = minimize_scalar(lambda log: nats(float(np.exp(log))), bounds=(low, high), method="bounded")
    saved = nats(1.0) - float(found.fun)
    return (float(np.exp(found.x)), saved) if saved > 0 else (1.0, 0.0)
