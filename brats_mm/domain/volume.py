"""A volume and its grid, which are always kept together."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from brats_mm.domain.background import Array as Array  # noqa: PLC0414 (re-exported)
from brats_mm.domain.background import Background, Mask, find_background, find_foreground

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""(4, 4), between the patient axes of DICOM and ITK (left, posterior, superior) and those of NIfTI."""

Voxel = TypeVar("Voxel", bound=np.generic)


def build_ras_affine(steps: npt.NDArray[Any], origin: Sequence[float] | npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the (4, 4) affine to RAS+ of a geometry in LPS patient space.

    Args:
        steps: (3, 3), one column per voxel axis: the step to the next voxel in LPS millimetres.
        origin: centre of the first voxel in LPS millimetres.
    """
    affine = np.eye(4)
    affine[:3, :3] = steps
    affine[:3, 3] = origin
    return np.asarray(LPS_TO_RAS @ affine)


@dataclass(frozen=True, eq=False)
class Grid:
    """Positions of voxels.

    Attributes:
        shape: number of voxels along each axis.
        affine: (4, 4) matrix from voxel indices to millimetres in RAS+ patient space (NIfTI convention).
        sform_code, qform_code: NIfTI codes of the source file, written back unchanged.
        sform, qform: matrices of the source file, if any. They can differ.
    """

    shape: tuple[int, int, int]
    affine: npt.NDArray[np.float64]
    sform_code: int = 2
    qform_code: int = 0
    sform: npt.NDArray[np.float64] | None = None
    qform: npt.NDArray[np.float64] | None = None

    @cached_property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along each axis."""
        x, y, z = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return float(x), float(y), float(z)

    @cached_property
    def ras_axes(self) -> tuple[tuple[int, int], ...]:
        """Closest patient axis (0 right, 1 anterior, 2 superior) and direction (1 or -1) of each grid axis.

        The patient axes are distinct even for a grid at 45 degrees to two of them.
        """
        turn = self.affine[:3, :3] / np.array(self.spacing_mm)
        along = max(permutations(range(3)), key=lambda order: sum(abs(turn[w, axis]) for axis, w in enumerate(order)))
        return tuple((world, 1 if turn[world, axis] > 0 else -1) for axis, world in enumerate(along))

    @cached_property
    def ras_order(self) -> tuple[int, int, int]:
        """Grid axis closest to each patient axis: right, anterior, superior."""
        right, anterior, superior = (int(axis) for axis in np.argsort([world for world, _ in self.ras_axes]))
        return right, anterior, superior

    @cached_property
    def ras_flips(self) -> tuple[int, ...]:
        """Patient axes along which the grid runs backwards: to the left (0), posterior (1) or inferior (2)."""
        return tuple(ras for ras, axis in enumerate(self.ras_order) if self.ras_axes[axis][1] < 0)

    def to_ras(self, data: npt.NDArray[Voxel]) -> npt.NDArray[Voxel]:
        """Reorient voxels to the nearest right, anterior and superior axes, without resampling."""
        return np.flip(data.transpose(self.ras_order), self.ras_flips)

    def from_ras(self, data: npt.NDArray[Voxel]) -> npt.NDArray[Voxel]:
        """Invert `to_ras`."""
        return np.flip(data, self.ras_flips).transpose(np.argsort(self.ras_order))

    @cached_property
    def shear_deg(self) -> float:
        """Maximum deviation of two axes from a right angle, in degrees."""
        turn = self.affine[:3, :3] / np.array(self.spacing_mm)
        cosines = np.abs((turn.T @ turn)[np.triu_indices(3, 1)])
        return float(np.degrees(np.arcsin(min(1.0, cosines.max()))))

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    def resize(self, shape: tuple[int, int, int]) -> "Grid":
        """Return the grid with another number of voxels over the same field of view."""
        ratio = np.array(self.shape) / np.array(shape)
        affine = self.affine.copy()
        affine[:3, :3] *= ratio
        affine[:3, 3] += self.affine[:3, :3] @ ((ratio - 1) / 2)
        return Grid(shape, affine)

    def corners_mm(self) -> npt.NDArray[np.float64]:
        """Return the centres of the eight corner voxels in patient space, (8, 3), in millimetres."""
        last = [size - 1 for size in self.shape]
        index = np.array([[x, y, z, 1] for x in (0, last[0]) for y in (0, last[1]) for z in (0, last[2])], np.float64)
        return np.asarray((index @ self.affine.T)[:, :3])

    def distance_mm(self, other: "Grid") -> float:
        """Return the largest distance between corresponding corners of two grids of the same shape, in millimetres."""
        return float(np.linalg.norm(self.corners_mm() - other.corners_mm(), axis=1).max())


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels on a grid, with `data.shape == grid.shape`.

    Attributes:
        data: grey values.
        grid: grid of the voxels.
        notes: repairs made when the volume was read, without the file name.
    """

    data: Array
    grid: Grid
    notes: tuple[str, ...] = ()

    @cached_property
    def background(self) -> Background:
        """The intensity of the background."""
        return find_background(self.data)

    @cached_property
    def foreground(self) -> Mask:
        """Mask of the foreground voxels, which are the brain in skull-stripped images."""
        return find_foreground(self.data, self.background)

    @cached_property
    def foreground_share(self) -> float:
        """Fraction of the voxels that are foreground."""
        return float(np.count_nonzero(self.foreground)) / self.data.size

    @property
    def foreground_ml(self) -> float:
        """Volume of the foreground in millilitres."""
        return self.foreground_share * self.grid.voxels * self.grid.voxel_ml
