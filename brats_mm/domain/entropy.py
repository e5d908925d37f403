"""Entropy of predicted probabilities in nats: 0 if certain, largest if undecided.

SimMLM's supplement shows entropy maps without a formula. These are the usual definitions.
"""

import math

import numpy as np
import numpy.typing as npt

from brats_mm.domain.volume import Array

MAX_BINARY_NATS = math.log(2)
MAX_COMPARTMENT_NATS = math.log(4)

_TINY = np.float32(1e-12)
"""Added inside the logarithm only, so that 0 ln 0 is 0."""


def _compute_surprise(p: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    logarithm = np.maximum(p, _TINY)
    np.log(logarithm, out=logarithm)
    logarithm *= -p
    return logarithm


def binary_entropy(p: Array) -> Array:
    """Return `-p ln p - (1 - p) ln(1 - p)`, from 0 to ln 2, with the shape of `p`."""
    return _compute_surprise(p) + _compute_surprise(1 - p)


def compartment_entropy(wt: Array, tc: Array, et: Array) -> Array:
    """Return the entropy over none, oedema, necrosis and enhancing, 0 to ln 4.

    The four probabilities follow from nested regions: `1 - wt`, `wt - tc`, `tc - et` and `et`. Needs
    `wt >= tc >= et` at each voxel.

    Args:
        wt, tc, et: region probabilities in [0, 1], of equal shape.

    Returns:
        Entropy of the same shape.
    """
    return _compute_surprise(1 - wt) + _compute_surprise(wt - tc) + _compute_surprise(tc - et) + _compute_surprise(et)
