"""Planar contours of a mask for RT Structure Sets. They are closed, and each outline includes its holes."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from brats_mm.domain.label_map import Mask

Points = npt.NDArray[np.float64]
"""(points, 2): column and row, in voxels. Integers are voxel centres. The first point is not repeated at the end."""


def trace_outlines(mask: Mask) -> Iterator[Points]:
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
        yield _remove_middle_points(_join_holes(rings))


def _join_holes(rings: Sequence[Points]) -> Points:
    """Join the holes to the outer ring, the nearest first.

    Noise can give an area hundreds of holes, so distances are updated by each joined hole and not computed again.
    """
    outline, holes = rings[0], rings[1:]
    if not holes:
        return outline
    points, owner = np.concatenate(holes), np.repeat(np.arange(len(holes)), [len(hole) for hole in holes])
    first = np.searchsorted(owner, np.arange(len(holes)))
    distances, nearest = _find_nearest(outline, points)
    is_open = np.ones(len(points), bool)
    for _ in holes:
        chosen = int(np.flatnonzero(is_open)[distances[is_open].argmin()])
        number = owner[chosen]
        hole = np.roll(holes[number], first[number] - chosen, axis=0)
        at = int(np.flatnonzero((outline == nearest[chosen]).all(axis=1))[0])
        outline = np.concatenate([outline[: at + 1], hole, hole[:1], outline[at:]])
        is_open[owner == number] = False
        others = np.flatnonzero(is_open)
        closer, ends = _find_nearest(hole, points[others])
        improved = closer < distances[others]
        distances[others[improved]], nearest[others[improved]] = closer[improved], ends[improved]
    return outline


def _find_nearest(ring: Points, points: Points) -> tuple[npt.NDArray[np.float64], Points]:
    """Return the distance of each point to the points of a ring, and the nearest of them.

    One end of each connection lies between two columns and the other between two rows. It misses all voxel centres, so
    no reader has to decide whether a centre on it is inside.
    """
    distances, ends = np.full(len(points), np.inf), np.tile(ring[0], (len(points), 1))
    for side in (False, True):
        of_ring, of_points = ring[_is_between_columns(ring) == side], _is_between_columns(points) != side
        if len(of_ring) and of_points.any():
            distances[of_points], at = cKDTree(of_ring).query(points[of_points])
            ends[of_points] = of_ring[at]
    return distances, ends


def _is_between_columns(points: Points) -> npt.NDArray[np.bool_]:
    return np.asarray(points[:, 0] % 1 == 0.5)


def _remove_middle_points(points: Points) -> Points:
    """Remove points on a straight line between their neighbours."""
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turns = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    goes_back = (before * after).sum(axis=1) < 0
    corners = points[(np.abs(turns) > 1e-9) | goes_back]
    return corners if len(corners) >= 3 else points
