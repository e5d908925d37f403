"""Correct the axis directions of a grid whose header is known to be wrong."""

from dataclasses import replace

import numpy as np

from brats_mm.domain.volume import Grid
from brats_mm.errors import GridError

LETTERS = ("LR", "PA", "IS")
"""Letters of the negative and the positive direction of each patient axis."""


def redirected(grid: Grid, codes: str) -> Grid:
    """Return the grid with other axis directions over the same box.

    Args:
        grid: grid as in the file's header.
        codes: true direction of each voxel axis, such as `LAS`: the first axis runs to the left, the second to the
            front (anterior), and the third upwards (superior). Each must lie on the same patient axis as in the header.

    Raises:
        GridError: the codes are not three directions, or exchange axes.
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
