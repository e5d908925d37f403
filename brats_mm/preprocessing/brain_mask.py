"""Apply a given brain mask: resample it to a grid, and remove the skull with it."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from brats_mm.domain.background import LEAST_TOLERANCE
from brats_mm.domain.case import Scans
from brats_mm.domain.label_map import Mask
from brats_mm.domain.lattice import GRID_TOLERANCE, match_lattice, place_voxels, unify_grids
from brats_mm.domain.resample import HALF
from brats_mm.domain.volume import Grid, Volume
from brats_mm.errors import CaseError
from brats_mm.preprocessing.itk_volume import build_transform, resample_onto


def resample_mask(mask: Volume, grid: Grid, matrix: npt.NDArray[np.float64] | None = None) -> Mask:
    """Resample a mask to a grid. A voxel is inside if at least half of it is.

    Args:
        mask: values from 0 (outside) to 1 (inside).
        grid: target grid.
        matrix: (4, 4) from points of `grid` to points of the mask, in RAS+ millimetres. None is the identity.
    """
    transform = build_transform(np.eye(4) if matrix is None else matrix)
    return np.asarray(resample_onto(mask, grid, transform).data >= HALF)


def binarise_mask(volume: Volume) -> Volume:
    """Binarise a mask: values above 0.5 become 1, and all others 0.

    Raises:
        CaseError: the mask is empty.
    """
    inside = np.nan_to_num(volume.data) > 0.5
    if not inside.any():
        raise CaseError("The brain mask is empty: no voxel is above 0.5. Provide a mask that is 1 inside the brain.")
    return Volume(inside.astype(np.float32), volume.grid)


def strip_scans(scans: Scans, mask: Volume, tolerance: float = GRID_TOLERANCE) -> Scans | None:
    """Remove the skull from scans that share a lattice with a mask, or return None if they do not.

    Voxels keep their positions and, inside the mask, their difference to the background.

    Args:
        scans: sequences with skull.
        mask: binary brain mask.
        tolerance: maximum distance between corresponding voxel centres, as a fraction of a voxel.
    """
    together = unify_grids(scans.volumes, tolerance)
    match = None if together is None else match_lattice(mask.grid, together.grid, tolerance)
    if together is None or match is None:
        return None
    inside = place_voxels(mask.data, match, together.grid.shape) > 0.5
    stripped = {m: Volume(_strip(v, inside), v.grid, v.notes) for m, v in together.volumes.items()}
    return replace(scans, volumes=stripped)


def _strip(volume: Volume, inside: Mask) -> npt.NDArray[np.float32]:
    background = volume.background
    offset = background.value if abs(background.value) > LEAST_TOLERANCE * background.scale else 0.0
    return np.asfortranarray(np.where(inside, volume.data - np.float32(offset), np.float32(0)))
