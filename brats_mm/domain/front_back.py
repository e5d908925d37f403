"""Detect exchanged front and back of a brain from the position of its lowest part."""

import numpy as np
import numpy.typing as npt

from brats_mm.domain.label_map import Mask

LEAST_BRAIN_ML, LARGEST_BRAIN_ML = 600.0, 2300.0
"""Plausible volume of a brain. Brains of 88 BraTS cases have 1.1 to 1.9 L."""

LEAST_HEIGHT_MM = 100.0
"""Minimum height of a brain. A slab below this contains too little of the brain."""

LOW_SHARE = 0.12
"""Fraction of the brain's height that counts as its lowest part: cerebellum and brain stem."""

FRONT_LEAD = 0.05
"""Lead from which front and back appear exchanged.

120 correct brains have -0.27 to -0.03, and five exchanged ones 0.12 to 0.18.
"""


def front_lead(inside: Mask, step_mm: tuple[float, float, float]) -> float | None:
    """Return the distance of a brain's lowest part in front of its centre, as a fraction of the brain's length.

    Cerebellum and brain stem lie at the back, so the value is negative in a brain with a correct header.

    Args:
        inside: skull-stripped brain, with axes in the order and direction of RAS.
        step_mm: distance of voxels along each axis.

    Returns:
        The share, or None if the volume or height of the mask is not that of a brain.
    """
    volume_ml = np.count_nonzero(inside) * float(np.prod(step_mm)) / 1000
    if not LEAST_BRAIN_ML <= volume_ml <= LARGEST_BRAIN_ML:
        return None
    counts = inside.sum(axis=0)
    rows, slices = np.flatnonzero(counts.any(axis=1)), np.flatnonzero(counts.any(axis=0))
    height = int(slices[-1] - slices[0]) + 1
    if height * step_mm[2] < LEAST_HEIGHT_MM:
        return None
    low_end = slices[0] + max(1, round(LOW_SHARE * height))
    length = int(rows[-1] - rows[0]) + 1
    return (_mean_row(counts[:, :low_end]) - _mean_row(counts)) / length


def _mean_row(counts: npt.NDArray[np.int_]) -> float:
    return float(np.average(np.arange(len(counts)), weights=counts.sum(axis=1)))
