"""Selection and orientation of slices: axial, coronal and sagittal in radiological convention."""

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import numpy.typing as npt

from brats_mm.domain.label_map import Mask
from brats_mm.domain.volume import Grid, Voxel

_MARGIN_MM = 6.0


class Plane(str, Enum):
    """Anatomical plane, in display order."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"

    @property
    def through(self) -> int:
        """Axis of a right-anterior-superior array perpendicular to the plane."""
        return {"axial": 2, "coronal": 1, "sagittal": 0}[self.value]

    @property
    def across(self) -> int:
        """Horizontal axis, drawn from its highest index on the left."""
        return 1 if self is Plane.SAGITTAL else 0

    @property
    def down(self) -> int:
        """Vertical axis, drawn from its highest index at the top."""
        return 1 if self is Plane.AXIAL else 2


@dataclass(frozen=True)
class Letters:
    """Patient direction at each edge of a slice."""

    left: str
    right: str
    top: str
    bottom: str


@dataclass(frozen=True)
class Slice:
    """One displayed slice.

    Attributes:
        plane: anatomical plane.
        index: index along the right-anterior-superior array's axis.
        input_axis, input_index: the same slice on the input grid, counted from 0.
        rows, columns: displayed part, on the right-anterior-superior array's axes.
        letters: patient directions at the edges.
        aspect: pixel height relative to its width.
    """

    plane: Plane
    index: int
    input_axis: int
    input_index: int
    rows: slice
    columns: slice
    letters: Letters
    aspect: float

    def extract(self, ras: npt.NDArray[Voxel]) -> npt.NDArray[Voxel]:
        """Extract the slice (rows, columns) from a right-anterior-superior array."""
        indices: list[slice | int] = [slice(None)] * 3
        indices[self.plane.through] = self.index
        picture = ras[tuple(indices)][self.columns, self.rows]
        return np.asarray(picture.T[::-1, ::-1])


Cuts = tuple[Slice, Slice, Slice]
"""An axial, a coronal and a sagittal slice."""


def choose_slices(grid: Grid, tumour: Mask, brain: Mask) -> Cuts:
    """Choose the slices with the largest tumour area, or the middle of a brain without tumour, cropped to the brain.

    Args:
        grid: the input grid, any orientation and spacing. Oblique grids use the nearest axes.
        tumour: mask of the tumour or of one of its regions.
        brain: mask to crop to. The whole grid if empty.
    """
    tumour, brain = grid.to_ras(tumour), grid.to_ras(brain)
    spacing_mm = [grid.spacing_mm[axis] for axis in grid.ras_order]
    box = [_find_extent(brain, axis, spacing_mm[axis]) for axis in range(3)]

    def cut(plane: Plane) -> Slice:
        through = plane.through
        index = _find_largest_slice(tumour, through, (box[through].start + box[through].stop - 1) // 2)
        full_slice = _slice(grid, plane, index)
        return replace(full_slice, rows=box[plane.down], columns=box[plane.across])

    return cut(Plane.AXIAL), cut(Plane.CORONAL), cut(Plane.SAGITTAL)


def slice_through(grid: Grid, voxel: tuple[int, int, int], plane: Plane) -> Slice:
    """Return the uncropped slice through a voxel of the input grid.

    Args:
        grid: the input grid.
        voxel: index on the input grid.
        plane: anatomical plane.
    """
    return _slice(grid, plane, _turn_index(grid, plane.through, voxel[grid.ras_order[plane.through]]))


def locate_on_slice(grid: Grid, voxel: tuple[int, int, int], plane: Plane) -> tuple[int, int]:
    """Return row and column of a voxel of the input grid on its uncropped slice, from the top left.

    Args:
        grid: grid of the input.
        voxel: index on the input grid.
        plane: anatomical plane.
    """

    def draw_at(ras: int) -> int:  # the highest index is drawn first
        source = grid.ras_order[ras]
        return grid.shape[source] - 1 - _turn_index(grid, ras, voxel[source])

    return draw_at(plane.down), draw_at(plane.across)


def _turn_index(grid: Grid, ras: int, index: int) -> int:
    """Convert an index along a right-anterior-superior axis to one along its input axis, or the reverse."""
    return grid.shape[grid.ras_order[ras]] - 1 - index if ras in grid.ras_flips else index


def _slice(grid: Grid, plane: Plane, index: int) -> Slice:
    """Return the uncropped slice at an index along the right-anterior-superior axis."""
    sources = grid.ras_order
    across, down = plane.across, plane.down
    sides = [grid.shape[axis] for axis in sources]
    spacing_mm = [grid.spacing_mm[axis] for axis in sources]
    return Slice(
        plane=plane,
        index=index,
        input_axis=sources[plane.through],
        input_index=_turn_index(grid, plane.through, index),
        rows=slice(0, sides[down]),
        columns=slice(0, sides[across]),
        letters=Letters(left="RA"[across], right="LP"[across], top="RAS"[down], bottom="LPI"[down]),
        aspect=spacing_mm[down] / spacing_mm[across],
    )


def _find_extent(mask: Mask, axis: int, spacing_mm: float) -> slice:
    """Return a mask's extent along an axis, with a margin."""
    other_axes = tuple(other_axis for other_axis in range(3) if other_axis != axis)
    occupied = np.flatnonzero(mask.any(axis=other_axes))
    if not occupied.size:
        return slice(0, mask.shape[axis])
    margin = int(np.ceil(_MARGIN_MM / spacing_mm))
    return slice(max(int(occupied[0]) - margin, 0), min(int(occupied[-1]) + 1 + margin, mask.shape[axis]))


def _find_largest_slice(mask: Mask, axis: int, fallback: int) -> int:
    """Return the first slice with the largest mask area, or `fallback` for an empty mask."""
    other_axes = tuple(other_axis for other_axis in range(3) if other_axis != axis)
    area = np.asarray(mask.sum(axis=other_axes))
    return int(area.argmax()) if area.any() else fallback
