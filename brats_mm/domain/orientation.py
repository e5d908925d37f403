"""Detect and correct wrong axis directions of a head, and swapped front and back."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from brats_mm.domain.label_map import Mask
from brats_mm.domain.volume import Grid
from brats_mm.errors import GridError

LETTERS = ("LR", "PA", "IS")
"""Letters of the negative and the positive direction of each patient axis."""


def set_directions(grid: Grid, codes: str) -> Grid:
    """Return the grid with other axis directions over the same box.

    Args:
        grid: grid as in the file's header.
        codes: true direction of each voxel axis, such as `LAS`: the first axis runs to the left, the second to the
            front (anterior), and the third upwards (superior). Each must lie on the same patient axis as in the header.

    Raises:
        GridError: the codes are not three directions, or swap axes.
    """
    current = "".join(LETTERS[axis][direction > 0] for axis, direction in grid.ras_axes)
    pairs = [LETTERS[axis] for axis, _ in grid.ras_axes]
    if len(codes) != len(pairs) or any(code not in pair for code, pair in zip(codes, pairs, strict=True)):
        raise GridError(
            f"The orientation is {codes!r}, but the header has {current}. Only axis directions can be corrected. "
            f"Provide one letter each of {', '.join(pairs)}."
        )
    affine = np.array(grid.affine, np.float64)
    for axis, (code, old) in enumerate(zip(codes, current, strict=True)):
        if code != old:
            affine[:3, 3] += affine[:3, axis] * (grid.shape[axis] - 1)
            affine[:3, axis] *= -1
    return replace(grid, affine=affine, sform=None, qform=None)


MIN_BRAIN_ML, MAX_BRAIN_ML = 600.0, 2300.0
"""Plausible volume of a brain. Brains of 88 BraTS cases have 1.1 to 1.9 L."""

MIN_HEIGHT_MM = 100.0
"""Minimum height of a brain. A slab below this contains too little of the brain."""

LOW_SHARE = 0.12
"""Fraction of the brain's height that counts as its lowest part: cerebellum and brain stem."""

FRONT_LEAD = 0.05
"""Lead from which front and back appear swapped.

120 correct brains have -0.27 to -0.03, and five swapped ones 0.12 to 0.18.
"""


def compute_anterior_offset(inside: Mask, step_mm: tuple[float, float, float]) -> float | None:
    """Return the distance of a brain's lowest part in front of its centre, as a fraction of the brain's length.

    Cerebellum and brain stem lie at the back, so the value is negative in a brain with a correct header.

    Args:
        inside: skull-stripped brain, with axes in the order and direction of RAS.
        step_mm: voxel spacing along each axis.

    Returns:
        The share, or None if the volume or height of the mask is not that of a brain.
    """
    volume_ml = np.count_nonzero(inside) * float(np.prod(step_mm)) / 1000
    if not MIN_BRAIN_ML <= volume_ml <= MAX_BRAIN_ML:
        return None
    counts = inside.sum(axis=0)
    rows, slices = np.flatnonzero(counts.any(axis=1)), np.flatnonzero(counts.any(axis=0))
    height = int(slices[-1] - slices[0]) + 1
    if height * step_mm[2] < MIN_HEIGHT_MM:
        return None
    low_end = slices[0] + max(1, round(LOW_SHARE * height))
    length = int(rows[-1] - rows[0]) + 1
    return (_compute_mean_row(counts[:, :low_end]) - _compute_mean_row(counts)) / length


def _compute_mean_row(counts: npt.NDArray[np.int_]) -> float:
    return float(np.average(np.arange(len(counts)), weights=counts.sum(axis=1)))
