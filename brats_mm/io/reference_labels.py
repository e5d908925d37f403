"""Reference label maps: reading them, checking them, and telling which label convention they follow."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError

from brats_mm.domain.label_map import Mask, convention_of, regions_from_labels
from brats_mm.domain.regions import LabelConvention, Region
from brats_mm.domain.volume import Grid
from brats_mm.errors import GridError, VolumeError

SAME_GRID_MM = 0.1
"""Corners of the label map and of the images may lie this far apart: headers round."""

_KNOWN = frozenset({0, 1, 2, 3, 4})


def read_reference(path: Path, grid: Grid, convention: LabelConvention | None = None) -> dict[Region, Mask]:
    """Region masks of a NIfTI label map that lies on a case's grid.

    Args:
        path: the label map.
        grid: of the case's images.
        convention: which value enhancing tumour has; without it the values tell, and a map without enhancing tumour
            reads alike under both.

    Raises:
        VolumeError: the file cannot be read, or has values that are no labels.
        GridError: the map does not lie on the grid.
    """
    labels, affine = _read(path)
    own = Grid((labels.shape[0], labels.shape[1], labels.shape[2]), affine)
    if own.shape != grid.shape or own.distance_mm(grid) > SAME_GRID_MM:
        message = (
            f"The label map {path.name} does not lie on the grid of its images ({own.shape} voxels against "
            f"{grid.shape}, or a different affine). Resample it to them first, with nearest-neighbour interpolation."
        )
        raise GridError(message)
    values = set(np.unique(labels).tolist())
    if values - _KNOWN:
        shown = ", ".join(f"{value:g}" for value in sorted(values - _KNOWN)[:5])
        message = (
            f"The label map {path.name} holds {shown}; labels are 0 to 4. Give the BraTS segmentation of the case."
        )
        raise VolumeError(message)
    if convention is None and {3, 4} <= values:
        message = (
            f"The label map {path.name} holds both 3 and 4, so it is unclear which is enhancing tumour. Name the label "
            "convention: brats2021 (4) or brats2023 (3)."
        )
        raise VolumeError(message)
    return regions_from_labels(
        labels.astype(np.uint8), convention or convention_of(labels.astype(np.uint8)) or LabelConvention.BRATS2023
    )


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        image = nib.load(path)
        labels = np.squeeze(np.asanyarray(image.dataobj))
    except (OSError, EOFError, ValueError, ImageFileError) as error:
        message = f"The label map {path} cannot be read ({error}). Check the name, or copy the file again."
        raise VolumeError(message) from error
    if labels.ndim != 3:
        message = f"The label map {path.name} has {labels.ndim} axes; it must have 3."
        raise VolumeError(message)
    return labels, np.asarray(image.affine, np.float64)
