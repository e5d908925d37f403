"""Rank statistics: Spearman's correlation and the area under the ROC curve. NaN where they are undefined."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Return Spearman's rank correlation over the pairs without NaN. NaN if either side is constant.

    Args:
        a, b: paired values.

    Returns:
        Correlation in [-1, 1].
    """
    pairs = _valid(a, b)
    if pairs.shape[1] < 2 or (np.ptp(pairs, axis=1) == 0).any():
        return math.nan
    return float(np.corrcoef(rankdata(pairs[0]), rankdata(pairs[1]))[0, 1])


def auroc(score: Sequence[float], positive: Sequence[bool]) -> float:
    """Return the probability that a positive has a higher score than a negative. Ties count one half.

    NaN if there are no positives or no negatives.

    Args:
        score: values to rank.
        positive: whether each value belongs to a positive.

    Returns:
        Area in [0, 1].
    """
    values, labels = _valid(score, [float(label) for label in positive])
    count = int(labels.sum())
    if not 0 < count < labels.size:
        return math.nan
    above = rankdata(values)[labels == 1].sum() - count * (count + 1) / 2
    return float(above / (count * (labels.size - count)))


def _valid(a: Sequence[float], b: Sequence[float]) -> np.ndarray:
    pairs = np.array([a, b], np.float64).reshape(2, -1)
    return np.asarray(pairs[:, ~np.isnan(pairs).any(axis=0)])
