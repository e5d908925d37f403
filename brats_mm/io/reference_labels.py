"""Reference label maps on the grid of their case, as region masks."""

from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt

from brats_mm.data.nan_background import fill_nan_background
from brats_mm.domain.label_map import Mask, extract_checked_regions, to_integer_labels
from brats_mm.domain.label_scheme import LabelScheme
from brats_mm.domain.lattice import EXACT_GRID_MM, GRID_TOLERANCE, match_lattice, place_voxels
from brats_mm.domain.regions import Region
from brats_mm.domain.volume import Grid
from brats_mm.errors import GridError, VolumeError
from brats_mm.io.volume import read_grid, read_stored


def read_reference(
    path: Path, grid: Grid, scheme: LabelScheme | None = None, *, tolerance: float = GRID_TOLERANCE
) -> dict[Region, Mask]:
    """Read a NIfTI label map as region masks on a case's grid.

    A map stored with another axis order, direction or crop is brought to the grid exactly.

    Args:
        path: the label map.
        grid: grid of the case's images.
        scheme: label scheme. None detects it from this map, and rejects values that match several schemes.
        tolerance: maximum distance between corresponding voxel centres, as a fraction of a voxel.

    Raises:
        VolumeError: the file cannot be read, or has values outside the scheme.
        GridError: the map does not match the grid.
    """
    return extract_checked_regions(read_labels(path, grid, tolerance=tolerance), scheme, path.name)


def read_labels(path: Path, grid: Grid, *, tolerance: float = GRID_TOLERANCE) -> npt.NDArray[np.int16]:
    """Read a label map of any format on a case's grid, with its values as stored.

    Args:
        path: the label map.
        grid: grid of the case's images.
        tolerance: maximum distance between corresponding voxel centres, as a fraction of a voxel.

    Returns:
        int16 array of `grid.shape`.

    Raises:
        VolumeError: the file cannot be read, or its values are not integers.
        GridError: the map does not match the grid.
    """
    stored, affine = _read(path)
    label_grid = Grid((stored.shape[0], stored.shape[1], stored.shape[2]), affine)
    match = match_lattice(label_grid, grid, tolerance)
    placed = None if match is None else place_voxels(stored, match, grid.shape)
    if placed is None or np.count_nonzero(placed) < np.count_nonzero(stored):
        raise GridError(
            f"The label map {path.name} is on a different grid than the images: {_format_grid(label_grid)} instead of "
            f"{_format_grid(grid)}. Resample the label map to the images with nearest-neighbour interpolation."
        )
    return to_integer_labels(placed, path.name)


def warn_about_offset(path: Path, grid: Grid) -> tuple[str, ...]:
    """Return a warning if the voxels of a label map are not exactly on a case's grid. Only the header is read.

    Raises:
        VolumeError: the header cannot be read.
    """
    match = match_lattice(read_grid(path), grid)
    if match is None or match.apart_mm <= EXACT_GRID_MM:
        return ()
    return (
        f"The label map {path.name} is {match.apart_mm:.3f} mm off the grid of the images. Its labels are assigned to "
        "the nearest voxels, so scores of borders are less exact.",
    )


def _format_grid(grid: Grid) -> str:
    return (
        f"{' x '.join(map(str, grid.shape))} voxels, orientation {''.join(nib.aff2axcodes(grid.affine))}, offset "
        f"({', '.join(f'{value:.4g}' for value in grid.affine[:3, 3])}) mm"
    )


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read voxels and affine in any image format, with the same checks as for images. NaN around the labels is 0."""
    try:
        volume = read_stored(path)
    except VolumeError as error:
        raise VolumeError(f"Could not read the label map. {error}") from error
    return fill_nan_background(volume.data)[0], volume.grid.affine
