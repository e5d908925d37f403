"""Temperature scaling of a region's logits, fitted on histograms (Guo et al., ICML 2017)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from brats_mm.metrics.operating_point import LOGIT_EDGES, Curve, LogitCounts

TEMPERATURES = (0.25, 4.0)
"""Search interval. A result at either end suggests too few cases or a poor model."""

INSIDE_TEMPERATURES = (0.25, 20.0)
"""Search interval of foreground temperatures. If less than half of the foreground is correct, the upper end is best."""

_MIDDLES = (LOGIT_EDGES[1:] + LOGIT_EDGES[:-1]) / 2
_INSIDE_LOGITS = np.append(_MIDDLES[_MIDDLES > 0], LOGIT_EDGES[-1])
"""Centres of the bins above 0. The overflow bin is represented by its lower edge."""


def fit_temperature(counts: Sequence[LogitCounts], offset: float) -> tuple[float, float]:
    """Fit the temperature T that minimises the cross-entropy of `sigmoid((logit - offset) / T)`.

    Only uncertain voxels count, with logits from -6 to 6 (probabilities from 0.2 to 99.8 %). Confident background is a
    hundred times as frequent and would dominate. Each logit is represented by the middle of its bin, 0.05 wide.

    Args:
        counts: histograms, summed over cases.
        offset: subtracted from the logits first.

    Returns:
        The temperature, and the cross-entropy saved over T = 1 in nats per voxel, at least 0. They are 1 and 0 if no
        voxel is uncertain.
    """
    uncertain = _select_uncertain(counts)
    return _minimise(lambda temperature: _cross_entropy(uncertain, offset, temperature, 1.0), TEMPERATURES)


def fit_inside_temperature(counts: Sequence[LogitCounts]) -> tuple[float, float]:
    """Fit the foreground temperature T that minimises the cross-entropy of `sigmoid(logit / T)` over logits above 0.

    All voxels above 0 count. Those in the overflow bin are represented by the upper edge.

    Args:
        counts: histograms, summed over cases.

    Returns:
        The temperature, and the cross-entropy saved over T = 1 in nats per voxel, at least 0. They are 1 and 0 if no
        voxel is above 0.
    """
    foreground = _select_above_zero(counts)
    return _minimise(lambda inside: _cross_entropy(foreground, 0.0, 1.0, inside), INSIDE_TEMPERATURES)


def inside_cross_entropy(
    counts: Sequence[LogitCounts], offset: float = 0.0, temperature: float = 1.0, inside: float = 1.0
) -> float:
    """Return the mean cross-entropy of calibrated logits in nats, over voxels with raw logits above 0.

    Args:
        counts: histograms, summed over cases.
        offset: subtracted from the logits first.
        temperature: divides the logits, positive.
        inside: divides positive results again, positive.
    """
    return _cross_entropy(_select_above_zero(counts), offset, temperature, inside)


def cross_entropy(
    counts: Sequence[LogitCounts], offset: float = 0.0, temperature: float = 1.0, inside: float = 1.0
) -> float:
    """Return the mean cross-entropy of calibrated logits (`domain.subset_calibration`) over uncertain voxels, in nats.

    The raw logits decide which voxels are uncertain, so that calibrations can be compared. Returns 0 if there are none.

    Args:
        counts: histograms, summed over cases.
        offset: subtracted from the logits first.
        temperature: divides the logits, positive.
        inside: divides positive results again, positive.
    """
    return _cross_entropy(_select_uncertain(counts), offset, temperature, inside)


@dataclass(frozen=True)
class _Voxels:
    """Voxel counts per logit, inside (`positives`) and outside (`negatives`) the reference."""

    logits: Curve
    positives: Curve
    negatives: Curve


def _select_uncertain(counts: Sequence[LogitCounts]) -> _Voxels:
    return _sum_bins(counts, slice(1, -1), _MIDDLES)


def _select_above_zero(counts: Sequence[LogitCounts]) -> _Voxels:
    return _sum_bins(counts, slice(-len(_INSIDE_LOGITS), None), _INSIDE_LOGITS)


def _sum_bins(counts: Sequence[LogitCounts], bins: slice, logits: Curve) -> _Voxels:
    positives = np.stack([case.inside[bins] for case in counts]).sum(axis=0, dtype=np.float64)
    negatives = np.stack([case.outside[bins] for case in counts]).sum(axis=0, dtype=np.float64)
    return _Voxels(logits, positives, negatives)


def _cross_entropy(voxels: _Voxels, offset: float, temperature: float, inside: float) -> float:
    total = voxels.positives.sum() + voxels.negatives.sum()
    if total == 0:
        return 0.0
    shifted = (voxels.logits - offset) / temperature
    scaled = np.where(shifted > 0, shifted / inside, shifted)
    nats = voxels.positives @ np.logaddexp(0, -scaled) + voxels.negatives @ np.logaddexp(0, scaled)
    return float(nats / total)


def _minimise(loss: Callable[[float], float], bounds: tuple[float, float]) -> tuple[float, float]:
    """Return the temperature within the bounds with the lowest loss and its gain over 1, or (1, 0) without a gain."""
    low, high = np.log(bounds)
    result = minimize_scalar(lambda log: loss(float(np.exp(log))), bounds=(low, high), method="bounded")
    gain = loss(1.0) - float(result.fun)
    return (float(np.exp(result.x)), gain) if gain > 0 else (1.0, 0.0)
