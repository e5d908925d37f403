"""Planar contours of a mask for RT Structure Sets. They are closed, and each outline includes its holes."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from brats_mm.domain.label_map import Mask

Points = npt.NDArray[np.float64]
"""(points, 2): column and row, in voxels. Integers are voxel centres. The first point is not repeated at the end."""


def outlines(mask: Mask) -> Iterator[Points]:
    """Yield the outline of each separate area of a slice.

    Outlines run halfway between voxel centres, so the centres inside are exactly those of the mask. A hole is joined to
    its outline by a line that runs back and forth, because closed planar contours cannot have holes.

    Args:
        mask: (rows, columns).
    """
    from contourpy import FillType, contour_generator

    padded = np.pad(mask.astype(np.float64), 1)
    filled: Any = contour_generator(z=padded, fill_type=FillType.OuterOffset).filled(0.5, 2.0)
    areas, offsets = filled  # the types of contourpy do not depend on `fill_type`
    for points, bounds in zip(areas, offsets, strict=True):
        rings = [points[start : stop - 1] - 1.0 for start, stop in pairwise(bounds)]
        yield _without_middle_points(_joined(rings))


def _joined(rings: Sequence[Points]) -> Points:
    """Join the holes to the outer ring, the nearest first."""
    outline, holes = rings[0], list(rings[1:])
    while holes:
        nearest = [_nearest(outline, hole) for hole in holes]
        nearest_hole = min(range(len(holes)), key=lambda index: nearest[index][0])
        _, at, of_hole = nearest[nearest_hole]
        hole = np.roll(holes.pop(nearest_hole), -of_hole, axis=0)
        outline = np.concatenate([outline[: at + 1], hole, hole[:1], outline[at:]])
    return outline


def _nearest(outline: Points, hole: Points) -> tuple[float, int, int]:
    """Return the smallest distance between points of two rings, and the indices of the points.

    One of the points lies between two columns and the other between two rows. Their connection misses all voxel
    centres, so no reader has to decide whether a centre on it is inside.
    """
    distances = np.linalg.norm(outline[:, None] - hole[None], axis=-1)
    distances[_between_columns(outline)[:, None] == _between_columns(hole)[None]] = np.inf
    at, of_hole = np.unravel_index(int(distances.argmin()), distances.shape)
    return float(distances[at, of_hole]), int(at), int(of_hole)


def _between_columns(points: Points) -> npt.NDArray[np.bool_]:
    return np.asarray(points[:, 0] % 1 == 0.5)


def _without_middle_points(points: Points) -> Points:
    """Remove points on a straight line between their neighbours."""
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turns = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    goes_back = (before * after).sum(axis=1) < 0
    corners = points[(np.abs(turns) > 1e-9) | goes_back]
    return corners if len(corners) >= 3 else points
