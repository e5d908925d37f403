"""Check shape, geometry and voxels of a volume. Each error message contains the file name."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from brats_mm.domain.spacing import MAX_SPACING_MM, MIN_SPACING_MM, is_plausible_spacing
from brats_mm.domain.volume import Array
from brats_mm.errors import VolumeError

MIN_AXIS = 8
MAX_AXIS = 1024
MAX_VOXELS = 2**28
"""Maximum number of voxels, which take 1 GiB. A head at 0.5 mm needs a quarter of it."""

MAX_LABELS = 8
"""Maximum number of distinct values of a label map. An integer volume with at most this many looks like one."""


def to_spatial_shape(shape: Sequence[int], path: Path) -> tuple[int, int, int]:
    """Return the three spatial axes. Trailing axes of length one are dropped.

    Raises:
        VolumeError: there are several volumes, a single slice, or axes of impossible length.
    """
    sizes = [int(size) for size in shape]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    shape_text = " x ".join(map(str, sizes)) or "no axes"
    if len(sizes) > 3:
        raise VolumeError(f"{path.name} holds several volumes ({shape_text}). Split it into one file per sequence.")
    if len(sizes) < 3 or min(sizes) == 1:
        raise VolumeError(f"{path.name} is a picture, not a volume ({shape_text}). Provide a 3-D volume.")
    if min(sizes) < MIN_AXIS or max(sizes) > MAX_AXIS or sizes[0] * sizes[1] * sizes[2] > MAX_VOXELS:
        raise VolumeError(
            f"{path.name} has {shape_text} voxels. Each axis must have {MIN_AXIS} to {MAX_AXIS} voxels, and the volume "
            f"at most {MAX_VOXELS:,}. Check that the file is an MR volume, and resample it if it is larger."
        )
    return sizes[0], sizes[1], sizes[2]


def check_spacing(spacing_mm: Sequence[float], path: Path) -> None:
    """Raise VolumeError unless all spacings are finite, positive and plausible for a head scan."""
    values = [float(value) for value in spacing_mm]
    if is_plausible_spacing(values):
        return
    spacing_text = " x ".join(f"{value:g}" for value in values)
    raise VolumeError(
        f"{path.name} has a voxel spacing of {spacing_text} mm. It must be between {MIN_SPACING_MM:g} and "
        f"{MAX_SPACING_MM:g} mm along each axis. Correct the header, or convert the series again."
    )


def check_affine(affine: npt.NDArray[np.float64], path: Path) -> None:
    """Raise VolumeError unless the affine is finite, invertible and has plausible spacings."""
    if not np.isfinite(affine).all():
        raise VolumeError(f"The affine of {path.name} is not finite. Correct the header, or convert the series again.")
    columns = affine[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    if (lengths == 0).any() or abs(np.linalg.det(columns / lengths)) < 1e-3:
        raise VolumeError(
            f"The affine of {path.name} is singular: its axes are linearly dependent. Correct the header, or convert "
            "the series again."
        )
    check_spacing([float(length) for length in lengths], path)


def is_usable_affine(affine: npt.NDArray[np.float64]) -> bool:
    """Return whether `check_affine` accepts an affine."""
    try:
        check_affine(affine, Path())
    except VolumeError:
        return False
    return True


def check_voxels(data: Array, path: Path) -> None:
    """Raise VolumeError if voxels are not finite, all equal, or look like labels."""
    lowest, highest = float(data.min()), float(data.max())  # a single NaN makes both NaN
    if not np.isfinite((lowest, highest)).all():
        count = int(data.size - np.isfinite(data).sum())
        raise VolumeError(
            f"{path.name} has {count:,} of {data.size:,} voxels that are NaN or infinite. Replace them by 0, or "
            "convert the series again. NaN is accepted only outside the head."
        )
    if lowest == highest:
        constant = "0 everywhere" if lowest == 0 else f"the same value ({lowest:g}) everywhere"
        raise VolumeError(
            f"{path.name} is {constant}, so it contains no image. Omit a missing sequence instead of filling it."
        )
    values = _find_few_values(data)
    if values is not None:
        values_text = ", ".join(f"{value:g}" for value in values)
        raise VolumeError(
            f"{path.name} looks like a label map: its only values are {values_text}. Provide the MR image with its "
            "grey values."
        )


def _find_few_values(data: Array) -> Array | None:
    """Return the distinct values if they are few integers, else None."""
    for part in (data[::5, ::5, ::5], data):  # a coarse sample settles nearly every case
        values = np.unique(part)
        if len(values) > MAX_LABELS or (values != np.rint(values)).any():
            return None
    return values
