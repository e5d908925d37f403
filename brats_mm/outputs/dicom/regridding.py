"""A map on another grid: reordered where both have the same voxels, interpolated where they do not."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import affine_transform

from brats_mm.domain.volume import Array, Grid

SAME_VOXEL_SHARE = 0.02
"""Voxel centres may lie this share of a voxel apart and still be the same."""
_FINEST = 8


@dataclass(frozen=True)
class Reordering:
    """How voxels of one grid follow from those of another: `data.transpose(order)`, then turned along `flipped`."""

    order: tuple[int, ...]
    flipped: tuple[int, ...]


def reordering(old: Grid, new: Grid) -> Reordering | None:
    """How to put voxels on `old` in the order of `new`; None where the two do not have the same voxel centres."""
    there = np.linalg.inv(old.affine) @ new.affine  # from indices of new to indices of old
    turn = np.rint(there[:3, :3])
    if not (np.abs(turn).sum(axis=0) == 1).all() or not (np.abs(turn).sum(axis=1) == 1).all():
        return None
    order = tuple(int(np.flatnonzero(turn[:, axis])[0]) for axis in range(3))
    if tuple(old.shape[axis] for axis in order) != tuple(new.shape):
        return None
    flipped = tuple(axis for axis in range(3) if turn[order[axis], axis] < 0)
    offset = np.array([old.shape[row] - 1 if turn[row].sum() < 0 else 0 for row in range(3)], np.float64)
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * (np.array(new.shape) - 1)
    apart = corners @ (there[:3, :3] - turn).T + there[:3, 3] - offset
    return Reordering(order, flipped) if np.abs(apart).max() <= SAME_VOXEL_SHARE else None


def on_grid(data: Array, old: Grid, new: Grid) -> Array:
    """A map on another grid, 0 beyond its own field of view.

    Linear between voxels; where the new voxels are larger, the average over each of them, so that thick slices miss
    nothing. Either grid may lean.
    """
    same = reordering(old, new)
    if same is not None:
        return np.asarray(np.flip(data.transpose(same.order), same.flipped))
    parts = _parts(old, new)
    finer = _finer(new, parts)
    there = np.linalg.inv(old.affine) @ finer.affine  # from indices of the finer grid to indices of old
    fine = affine_transform(data, there[:3, :3], there[:3, 3], finer.shape, order=1, mode="grid-constant", cval=0.0)
    split = fine.reshape([side for axis in range(3) for side in (new.shape[axis], parts[axis])])
    return np.asarray(split.mean(axis=(1, 3, 5), dtype=np.float32))


def _parts(old: Grid, new: Grid) -> tuple[int, int, int]:
    """Into how many pieces each new voxel is cut along each axis, so that no old one is stepped over."""
    x, y, z = (min(_FINEST, max(1, round(step / min(old.spacing_mm)))) for step in new.spacing_mm)
    return x, y, z


def _finer(grid: Grid, parts: tuple[int, int, int]) -> Grid:
    cut = np.array(parts, np.float64)
    affine: npt.NDArray[np.float64] = grid.affine.copy()
    affine[:3, :3] = grid.affine[:3, :3] / cut
    affine[:3, 3] -= grid.affine[:3, :3] @ ((cut - 1) / (2 * cut))
    x, y, z = (side * part for side, part in zip(grid.shape, parts, strict=True))
    return Grid((x, y, z), affine)
