"""Split-conformal widths from scores that are grouped by case.

Scores of one case (its subsets of sequences) depend on each other, so cases are the exchangeable units. Each of K cases
shares the mass 1/(K + 1) among its scores, and the remaining mass lies at infinity (Lee, Barber and Willett 2023,
"Distribution-free inference with hierarchical data"). The quantile covers a random segmentation of a new case with at
least the nominal probability, on average over calibration sets.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

Scores = npt.NDArray[np.float64]


def grouped_quantile(groups: Sequence[Scores], coverage: float) -> float | None:
    """Return the smallest width with the nominal coverage, or None if there are too few cases.

    Args:
        groups: absolute scores of each case. Empty groups are ignored.
        coverage: nominal coverage, 0 to 1.
    """
    filled = [group for group in groups if group.size]
    if not filled:
        return None
    scores = np.concatenate(filled)
    mass = np.concatenate([np.full(group.size, 1 / ((len(filled) + 1) * group.size)) for group in filled])
    order = np.argsort(scores)
    reached = np.cumsum(mass[order]) >= coverage - 1e-9
    return float(scores[order][np.argmax(reached)]) if reached.any() else None


def coverage_floor(cases: int, coverage: float) -> float:
    """Return the coverage that holds with 95 % confidence, given the number of calibration cases.

    The coverage of a split-conformal interval varies with the calibration set: it follows a beta distribution
    (Vovk 2012). This is its 5 % quantile. 0 if the cases are too few for any interval.

    Args:
        cases: number of calibration cases.
        coverage: nominal coverage, 0 to 1.
    """
    left_out = math.floor((cases + 1) * (1 - coverage) + 1e-9)
    if left_out < 1 or cases < 1:
        return 0.0
    return float(beta.ppf(0.05, cases + 1 - left_out, left_out))
