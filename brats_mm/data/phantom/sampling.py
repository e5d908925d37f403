"""Sample the phantom's coarse head fields at the voxels of an output grid."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from brats_mm.data.phantom.anatomy import HALF_EXTENT_MM, PITCH_MM
from brats_mm.domain.volume import Array, Grid

_AXIS_SIGNS = (-1, -1, 1)
"""Grid axes run left, posterior and superior. Head axes run right, anterior and superior."""


@dataclass(frozen=True, eq=False)
class BrainVoxels:
    """Brain voxels on an output grid, with interpolation weights for coarse fields.

    Attributes:
        shape: shape of the output grid.
        box: part of the grid that the coarse fields cover.
        weights: per axis, (box size, coarse size) interpolation weights.
        inside: mask of the brain voxels of the box.
        voxel_mm: coarsest spacing of the output grid in head millimetres.
    """

    shape: tuple[int, int, int]
    box: tuple[slice, slice, slice]
    weights: tuple[Array, Array, Array]
    inside: npt.NDArray[np.bool_]
    voxel_mm: float

    @property
    def coarse_shape(self) -> tuple[int, int, int]:
        """Size of the coarse fields."""
        along_x, along_y, along_z = self.weights
        return along_x.shape[1], along_y.shape[1], along_z.shape[1]

    def sample(self, field: Array) -> Array:
        """Sample a coarse field at the brain voxels. Returns a flat array."""
        return np.asarray(_interpolate(field, self.weights)[self.inside])

    def spread(self, values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Return a volume on the output grid from a flat array of brain voxels, 0 elsewhere."""
        volume = np.zeros(self.shape, values.dtype)
        volume[self.box][self.inside] = values
        return volume


def find_brain_voxels(grid: Grid, hull: Array) -> BrainVoxels:
    """Centre the head in the grid, life-size or as large as fits. Voxels with `hull` > 0 are brain.

    Args:
        grid: output grid.
        hull: coarse field that is positive inside the brain.
    """
    extents_mm = [size * spacing for size, spacing in zip(grid.shape, grid.spacing_mm, strict=True)]
    scale = min(1.0, *(mm / 2 / half for mm, half in zip(extents_mm, HALF_EXTENT_MM, strict=True)))
    box, weights = [], []
    for axis, sign in enumerate(_AXIS_SIGNS):
        index = np.arange(grid.shape[axis]) - (grid.shape[axis] - 1) / 2
        head_mm = sign * index * grid.spacing_mm[axis] / scale
        covered = np.flatnonzero(np.abs(head_mm) <= HALF_EXTENT_MM[axis])
        box.append(slice(int(covered[0]), int(covered[-1]) + 1))
        weights.append(_compute_cubic_weights((head_mm[covered] + HALF_EXTENT_MM[axis]) / PITCH_MM, hull.shape[axis]))
    along_x, along_y, along_z = weights
    inside = _interpolate(hull, (along_x, along_y, along_z)) > 0
    return BrainVoxels(
        grid.shape, (box[0], box[1], box[2]), (along_x, along_y, along_z), inside, max(grid.spacing_mm) / scale
    )


def _interpolate(field: Array, weights: tuple[Array, Array, Array]) -> Array:
    for along in weights:  # each turn moves the first axis to the end, so three turns restore the order
        field = np.tensordot(field, along, axes=(0, 1))
    return field


def _compute_cubic_weights(position: npt.NDArray[np.floating], size: int) -> Array:
    """Return (positions, size) cubic convolution weights (Keys 1981, a = -1/2) with repeated edges."""
    first = np.floor(position).astype(int) - 1
    weights = np.zeros((len(position), size), np.float32)
    for tap in range(4):
        t = np.abs(position - (first + tap))
        near = 1.5 * t**3 - 2.5 * t**2 + 1
        far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
        column = np.clip(first + tap, 0, size - 1)
        np.add.at(weights, (np.arange(len(position)), column), np.where(t <= 1, near, far).astype(np.float32))
    return weights
