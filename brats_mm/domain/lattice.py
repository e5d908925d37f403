"""Grids that share a lattice of voxel centres: the same voxels in another axis order, direction or crop.

Volumes on such grids are combined exactly, by moving voxels without interpolation. Headers round coordinates, so
centres may differ by a tolerance in voxels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from brats_mm.domain.availability import sort_modalities
from brats_mm.domain.modality import Modality
from brats_mm.domain.options import GRID_TOLERANCE as GRID_TOLERANCE  # noqa: PLC0414 (re-exported)
from brats_mm.domain.volume import Grid, Volume

ROUNDING = 0.02
"""Smallest tolerance, for the rounding of headers."""

EXACT_GRID_MM = 1e-3
"""Distance between matched voxel centres above which a warning is given."""

LOST_SHARE = 0.001
"""Maximum fraction of a sequence's foreground outside the case's grid."""

_SUMS = 1e-6
"""Tolerance of rounding for distances in voxels."""

_Voxel = TypeVar("_Voxel", bound=np.generic)


@dataclass(frozen=True)
class LatticeMatch:
    """Mapping of the voxels of one grid to those of another.

    Attributes:
        order: axis of the old grid for each axis of the new grid.
        flipped: axes of the new grid along which the old grid is reversed.
        start: index in the new grid of the first voxel after reordering. Negative if the old grid starts earlier.
        shape: shape after reordering.
        apart_mm: maximum distance between corresponding voxel centres.
    """

    order: tuple[int, int, int]
    flipped: tuple[int, ...]
    start: tuple[int, int, int]
    shape: tuple[int, int, int]
    apart_mm: float

    def fills(self, shape: tuple[int, int, int]) -> bool:
        """Return whether the old grid has exactly the voxels of a new grid of that shape."""
        return self.start == (0, 0, 0) and self.shape == shape

    def lies_in(self, shape: tuple[int, int, int]) -> bool:
        """Return whether the old grid lies completely inside a new grid of that shape."""
        ends = (at + side for at, side in zip(self.start, self.shape, strict=True))
        return min(self.start) >= 0 and all(end <= side for end, side in zip(ends, shape, strict=True))

    @property
    def is_stored_alike(self) -> bool:
        """Whether both grids have the same axis order and directions."""
        return self.order == (0, 1, 2) and not self.flipped


def match_lattice(old: Grid, new: Grid, tolerance: float = GRID_TOLERANCE) -> LatticeMatch | None:
    """Match the voxels of two grids, or return None if they do not share a lattice.

    Args:
        old: grid of the voxels.
        new: target grid.
        tolerance: maximum distance between corresponding voxel centres as a fraction of a voxel, at least `ROUNDING`.
    """
    to_new = np.linalg.inv(new.affine) @ old.affine  # from indices of old to indices of new
    turn = np.rint(to_new[:3, :3])
    if not (np.abs(turn).sum(axis=0) == 1).all() or not (np.abs(turn).sum(axis=1) == 1).all():
        return None
    corners = np.array(list(product(*((0, side - 1) for side in old.shape))), np.float64)
    offsets = corners @ (to_new[:3, :3] - turn).T + to_new[:3, 3]
    shift = np.rint((offsets.max(axis=0) + offsets.min(axis=0)) / 2)
    offsets -= shift
    if np.abs(offsets).max() >= max(tolerance, ROUNDING) - _SUMS:
        return None
    x, y, z = (int(np.flatnonzero(turn[axis])[0]) for axis in range(3))
    order = (x, y, z)
    flipped = tuple(axis for axis in range(3) if turn[axis, order[axis]] < 0)
    i, j, k = (int(shift[axis]) - (old.shape[order[axis]] - 1 if axis in flipped else 0) for axis in range(3))
    shape = (old.shape[x], old.shape[y], old.shape[z])
    apart_mm = float(np.linalg.norm(offsets @ new.affine[:3, :3].T, axis=1).max())
    return LatticeMatch(order, flipped, (i, j, k), shape, apart_mm)


def place_voxels(
    data: npt.NDArray[_Voxel], match: LatticeMatch, shape: tuple[int, int, int], fill: float = 0.0
) -> npt.NDArray[_Voxel]:
    """Move voxels to the grid that they were matched to.

    Args:
        data: voxels on the old grid.
        match: result of `match_lattice`.
        shape: shape of the new grid.
        fill: value of voxels outside the old grid.

    Returns:
        An array with the first axis contiguous in memory, like a NIfTI file.
    """
    turned = np.flip(data.transpose(match.order), match.flipped)
    if match.fills(shape):
        return np.asfortranarray(turned)
    placed = np.full(shape, fill, data.dtype, order="F")
    overlap = tuple(slice(max(0, at), max(0, at + n)) for at, n in zip(match.start, match.shape, strict=True))
    target = tuple(
        slice(max(0, -at), max(0, min(n, side - at)))
        for at, n, side in zip(match.start, match.shape, shape, strict=True)
    )
    placed[overlap] = turned[target]
    return placed


def have_same_voxels(old: Grid, new: Grid, tolerance: float = GRID_TOLERANCE) -> bool:
    """Return whether two grids have the same voxel centres, in any axis order."""
    match = match_lattice(old, new, tolerance)
    return match is not None and match.fills(new.shape)


def share_lattice(grids: Sequence[Grid]) -> bool:
    """Return whether all grids share the lattice of the largest."""
    largest = max(grids, key=lambda grid: grid.voxels)
    return all(match_lattice(grid, largest) is not None for grid in grids)


@dataclass(frozen=True, eq=False)
class OneGrid:
    """Sequences on a common grid.

    Attributes:
        grid: grid of the sequence with the most voxels, or the first of these.
        volumes: one volume per sequence, all on `grid`.
        moved: sequences that were stored in another order, direction or crop.
        apart_mm: distance of each sequence's voxel centres from the grid, by its header.
    """

    grid: Grid
    volumes: Mapping[Modality, Volume]
    moved: tuple[Modality, ...]
    apart_mm: Mapping[Modality, float]


def unify_grids(volumes: Mapping[Modality, Volume], tolerance: float = GRID_TOLERANCE) -> OneGrid | None:
    """Bring sequences that share a lattice to one grid.

    Args:
        volumes: one volume per sequence.
        tolerance: maximum distance between corresponding voxel centres, as a fraction of a voxel.

    Returns:
        The sequences, or None if they do not share a lattice or foreground would be cut off.
    """
    names = sort_modalities(volumes)
    largest = max(names, key=lambda modality: volumes[modality].grid.voxels)  # the first one if several are equal
    grid = volumes[largest].grid
    unified: dict[Modality, Volume] = {}
    moved, apart_mm = [], {}
    for modality in names:
        volume = volumes[modality]
        match = match_lattice(volume.grid, grid, tolerance)
        if match is None:
            return None
        apart_mm[modality] = match.apart_mm
        if match.is_stored_alike and match.fills(grid.shape):
            is_same = np.array_equal(volume.grid.affine, grid.affine)
            unified[modality] = volume if is_same else Volume(volume.data, grid, volume.notes)
            continue
        if not match.lies_in(grid.shape):
            inside = int(np.count_nonzero(place_voxels(volume.foreground, match, grid.shape)))
            if inside < (1 - LOST_SHARE) * np.count_nonzero(volume.foreground):
                return None
        moved.append(modality)
        data = place_voxels(volume.data, match, grid.shape, volume.background.value)
        unified[modality] = Volume(data, grid, volume.notes)
    return OneGrid(grid, unified, tuple(moved), apart_mm)
