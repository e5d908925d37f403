"""Convert volumes to and from SimpleITK images, and resample onto grids. The only place that converts LPS to RAS+."""

from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 (the usual abbreviation)

from brats_mm.domain.preprocessing import MAX_SHEAR_DEG, make_working_grid
from brats_mm.domain.volume import LPS_TO_RAS, Array, Grid, Volume

_LPS = LPS_TO_RAS[:3, :3]


def to_itk(data: npt.NDArray[Any], grid: Grid) -> sitk.Image:
    """Return voxels as an image of their type, with the geometry of a grid. Its axes are corrected to right angles."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(data.T))
    left, _, right = np.linalg.svd(_LPS @ grid.affine[:3, :3] / np.array(grid.spacing_mm))
    image.SetSpacing(grid.spacing_mm)
    image.SetDirection((left @ right).ravel().tolist())
    image.SetOrigin((_LPS @ grid.affine[:3, 3]).tolist())
    return image


def extract_data(image: sitk.Image) -> Array:
    """Return a copy of the image's voxels, with axes in the order of its grid."""
    return np.asarray(sitk.GetArrayFromImage(image).T, np.float32)


def resample_onto(volume: Volume, grid: Grid, transform: sitk.Transform) -> Volume:
    """Resample a volume onto another grid: linear interpolation, 0 outside the field of view.

    Works on voxel indices with the full affines, because ITK's images have orthogonal axes but either grid may be
    sheared.

    Args:
        volume: volume to resample.
        grid: target grid.
        transform: affine transform from points of `grid` to points of the volume, in LPS millimetres, as from
            registration.
    """
    to_old = np.linalg.inv(volume.grid.affine) @ extract_matrix(transform) @ grid.affine
    indices = sitk.AffineTransform(3)
    indices.SetMatrix(to_old[:3, :3].ravel().tolist())
    indices.SetTranslation(to_old[:3, 3].tolist())
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize([int(side) for side in grid.shape])
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.SetDefaultPixelValue(0.0)
    resampler.SetTransform(indices)
    voxels = sitk.GetImageFromArray(np.ascontiguousarray(volume.data.T, np.float32))
    return Volume(extract_data(resampler.Execute(voxels)), grid)


def make_orthogonal_volume(volume: Volume) -> Volume:
    """Return an orthogonal volume. A sheared volume is resampled at its finest voxel size."""
    if volume.grid.shear_deg <= MAX_SHEAR_DEG:
        return volume
    return resample_onto(volume, make_working_grid(volume.grid, min(volume.grid.spacing_mm)), sitk.AffineTransform(3))


def extract_matrix(transform: sitk.Transform) -> npt.NDArray[np.float64]:
    """Return an affine transform as (4, 4) matrix between points in RAS+ millimetres."""
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    ends = [np.array(transform.TransformPoint(tuple(end))) - origin for end in np.eye(3)]
    matrix = np.eye(4)
    matrix[:3, :3] = _LPS @ np.stack(ends, axis=1) @ _LPS
    matrix[:3, 3] = _LPS @ origin
    return matrix


def build_transform(matrix: npt.NDArray[np.float64]) -> sitk.AffineTransform:
    """Invert `extract_matrix`."""
    transform = sitk.AffineTransform(3)
    transform.SetMatrix((_LPS @ matrix[:3, :3] @ _LPS).ravel().tolist())
    transform.SetTranslation((_LPS @ matrix[:3, 3]).tolist())
    return transform
