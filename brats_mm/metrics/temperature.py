"""The temperature that makes a region's probabilities honest, from histograms of its logits (Guo et al., ICML 2017)."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar

from brats_mm.metrics.operating_point import LOGIT_EDGES, LogitCounts

TEMPERATURES = (0.25, 4.0)
"""Between these the best is looked for; one at the end says that more cases are needed, or another model."""


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
    together = [
        LogitCounts(np.sum([one.inside for one in counts], axis=0), np.sum([one.outside for one in counts], axis=0))
    ]
    if _in_doubt(together) == 0:
        return 1.0, 0.0

    def missed(log: float) -> float:
        return cross_entropy(together, offset, float(np.exp(log)))

    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(missed, bounds=(low, high), method="bounded")
    saved = missed(0.0) - float(found.fun)
    return (float(np.exp(found.x)), saved) if saved > 0 else (1.0, 0.0)


def cross_entropy(counts: Sequence[LogitCounts], offset: float = 0.0, temperature: float = 1.0) -> float:
    """Mean cross-entropy of `sigmoid((logit - offset) / temperature)`, in nats, over the voxels in doubt.

    0 where no voxel is in doubt. Which are in doubt follows from the logits as they were given, so that corrections can
    be compared.
    """
    total = _in_doubt(counts)
    if total == 0:
        return 0.0
    scaled = ((LOGIT_EDGES[1:] + LOGIT_EDGES[:-1]) / 2 - offset) / temperature
    inside = np.sum([one.inside[1:-1] for one in counts], axis=0, dtype=np.float64)
    outside = np.sum([one.outside[1:-1] for one in counts], axis=0, dtype=np.float64)
    return float((inside @ np.logaddexp(0, -scaled) + outside @ np.logaddexp(0, scaled)) / total)


def _in_doubt(counts: Sequence[LogitCounts]) -> int:
    return int(sum(one.inside[1:-1].sum() + one.outside[1:-1].sum() for one in counts))
