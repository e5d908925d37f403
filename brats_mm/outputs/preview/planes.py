"""Which slices a preview shows and how they lie on the page: axial, coronal, sagittal in radiological convention."""

from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeVar

import nibabel as nib
import numpy as np
import numpy.typing as npt

from brats_mm.domain.label_map import Mask
from brats_mm.domain.volume import Grid

_MARGIN_MM = 6.0

_Voxel = TypeVar("_Voxel", bound=np.generic)


class Plane(str, Enum):
    """An anatomical plane; the members' order is the order on the page."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"

    @property
    def through(self) -> int:
        """Axis of a right-anterior-superior array that runs through the plane."""
        return {"axial": 2, "coronal": 1, "sagittal": 0}[self.value]

    @property
    def across(self) -> int:
        """Axis that runs from right to left on the page, highest first."""
        return 1 if self is Plane.SAGITTAL else 0

    @property
    def down(self) -> int:
        """Axis that runs from top to bottom on the page, highest first."""
        return 1 if self is Plane.AXIAL else 2


@dataclass(frozen=True)
class Letters:
    """Which side of the patient each edge of a picture shows."""

    left: str
    right: str
    top: str
    bottom: str


@dataclass(frozen=True)
class Slice:
    """One picture of a preview.

    Attributes:
        plane: its plane.
        index: position along the right-anterior-superior array's axis.
        input_axis, input_index: the same slice on the input grid, both counted from 0 (the page shows axes from 1).
        rows, columns: the part to show, on the right-anterior-superior array's axes.
        letters: the sides of the patient at the picture's edges.
        aspect: height of a pixel relative to its width.
    """

    plane: Plane
    index: int
    input_axis: int
    input_index: int
    rows: slice
    columns: slice
    letters: Letters
    aspect: float

    def of(self, ras: npt.NDArray[_Voxel]) -> npt.NDArray[_Voxel]:
        """The picture, (rows, columns) from top left, of a right-anterior-superior array."""
        at: list[slice | int] = [slice(None)] * 3
        at[self.plane.through] = self.index
        picture = ras[tuple(at)][self.columns, self.rows]
        return np.asarray(picture.T[::-1, ::-1])


def to_ras(data: npt.NDArray[_Voxel], affine: npt.NDArray[np.float64]) -> npt.NDArray[_Voxel]:
    """Turn and flip an array's axes so that they run nearest to right, anterior and superior; no resampling."""
    return np.asarray(nib.orientations.apply_orientation(data, nib.orientations.io_orientation(affine)))


def choose_slices(grid: Grid, tumour: Mask, brain: Mask) -> tuple[Slice, Slice, Slice]:
    """The slices that show most of the tumour, or the brain's middle where there is none, cropped to the brain.

    Args:
        grid: the input grid; any orientation and spacing. Of an oblique grid the nearest axes are taken.
        tumour: whole tumour on that grid.
        brain: where there is something to show on that grid; all of it where empty.
    """
    tumour, brain = to_ras(tumour, grid.affine), to_ras(brain, grid.affine)
    spacing_mm = [grid.spacing_mm[axis] for axis in _sources(grid)]
    box = [_extent(brain, axis, spacing_mm[axis]) for axis in range(3)]

    def cut(plane: Plane) -> Slice:
        through = plane.through
        index = _busiest(tumour, through, (box[through].start + box[through].stop - 1) // 2)
        whole = _slice(grid, plane, index)
        return replace(whole, rows=box[plane.down], columns=box[plane.across])

    return cut(Plane.AXIAL), cut(Plane.CORONAL), cut(Plane.SAGITTAL)


def slice_through(grid: Grid, voxel: tuple[int, int, int], plane: Plane) -> Slice:
    """The whole slice in which a voxel of the input grid lies."""
    source = _sources(grid)[plane.through]
    return _slice(grid, plane, grid.shape[source] - 1 - voxel[source] if _flipped(grid, source) else voxel[source])


def place_on_slice(grid: Grid, voxel: tuple[int, int, int], plane: Plane) -> tuple[int, int]:
    """Row and column of a voxel of the input grid on the page of its whole slice, from the top left."""
    places = []
    for axis in (plane.down, plane.across):  # the highest comes first on the page
        source = _sources(grid)[axis]
        places.append(voxel[source] if _flipped(grid, source) else grid.shape[source] - 1 - voxel[source])
    return places[0], places[1]


def _sources(grid: Grid) -> list[int]:
    """The input axis of each right-anterior-superior axis."""
    return [int(axis) for axis in np.argsort(nib.orientations.io_orientation(grid.affine)[:, 0])]


def _flipped(grid: Grid, source: int) -> bool:
    """Whether an input axis runs to the left, to the back or down."""
    return bool(nib.orientations.io_orientation(grid.affine)[source, 1] < 0)


def _slice(grid: Grid, plane: Plane, index: int) -> Slice:
    """A whole slice by its position along the right-anterior-superior axis."""
    sources = _sources(grid)
    across, down, source = plane.across, plane.down, sources[plane.through]
    sides = [grid.shape[axis] for axis in sources]
    spacing_mm = [grid.spacing_mm[axis] for axis in sources]
    return Slice(
        plane=plane,
        index=index,
        input_axis=source,
        input_index=grid.shape[source] - 1 - index if _flipped(grid, source) else index,
        rows=slice(0, sides[down]),
        columns=slice(0, sides[across]),
        letters=Letters(left="RA"[across], right="LP"[across], top="RAS"[down], bottom="LPI"[down]),
        aspect=spacing_mm[down] / spacing_mm[across],
    )


def _extent(mask: Mask, axis: int, spacing_mm: float) -> slice:
    """From the first to the last voxel of a mask along an axis, with a margin."""
    others = tuple(other for other in range(3) if other != axis)
    found = np.flatnonzero(mask.any(axis=others))
    if not found.size:
        return slice(0, mask.shape[axis])
    margin = int(np.ceil(_MARGIN_MM / spacing_mm))
    return slice(max(int(found[0]) - margin, 0), min(int(found[-1]) + 1 + margin, mask.shape[axis]))


def _busiest(mask: Mask, axis: int, fallback: int) -> int:
    """The slice with the most voxels of a mask; the first of several, and `fallback` where there are none."""
    others = tuple(other for other in range(3) if other != axis)
    area = np.asarray(mask.sum(axis=others))
    return int(area.argmax()) if area.any() else fallback
