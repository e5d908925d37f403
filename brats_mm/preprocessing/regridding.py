"""Bring maps to another grid: reorder equal voxels, otherwise interpolate or average."""

import numpy as np
from scipy.ndimage import affine_transform

from brats_mm.domain.lattice import ROUNDING, match_lattice, place_voxels
from brats_mm.domain.volume import Array, Grid

_MAX_REFINEMENT = 8


def move_to_grid(data: Array, old: Grid, new: Grid) -> Array:
    """Bring a map to another grid, with 0 outside its field of view.

    Interpolates linearly. Larger target voxels get the average over the voxel, so that thick slices do not skip data.
    Either grid may be sheared.

    Args:
        data: map of `old.shape`.
        old: its grid.
        new: target grid.
    """
    match = match_lattice(old, new, ROUNDING)
    if match is not None and match.fills(new.shape):
        return place_voxels(data, match, new.shape)
    # Samples per new voxel along each axis, so that no old voxel is skipped.
    parts = [min(_MAX_REFINEMENT, max(1, round(step / min(old.spacing_mm)))) for step in new.spacing_mm]
    x, y, z = (side * part for side, part in zip(new.shape, parts, strict=True))
    finer = new.resize((x, y, z))
    to_old = np.linalg.inv(old.affine) @ finer.affine  # from indices of the finer grid to indices of old
    fine = affine_transform(data, to_old[:3, :3], to_old[:3, 3], finer.shape, order=1, mode="grid-constant", cval=0.0)
    split = fine.reshape([side for axis in range(3) for side in (new.shape[axis], parts[axis])])
    return np.asarray(split.mean(axis=(1, 3, 5), dtype=np.float32))
