"""Order the slices of a volume, and find their grid and any missing slices."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from brats_mm.domain.volume import Grid, build_ras_affine
from brats_mm.io.dicom.slices import Slice

UNEVEN_SHARE = 0.1
"""Maximum deviation of a slice distance from a multiple of the median distance, as a fraction of it."""
BENT_MM = 0.3
"""Maximum distance of a first voxel from the line through the first and the last slice."""
MISSING_SHARE = 0.1
MISSING_RUN = 2
"""Maximum fraction of missing slices, and maximum number in a row, to interpolate."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Layout:
    """Slices in order along their normal, with their grid.

    Attributes:
        slices: the available slices.
        grid: grid including missing slices. None if the slices form none.
        indices: index of each slice along the grid's third axis.
        missing: indices without a slice.
        fault: reason why the slices form no usable volume, as a clause, or empty.
    """

    slices: tuple[Slice, ...]
    grid: Grid | None
    indices: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()
    fault: str = ""


def order_slices(slices: Sequence[Slice]) -> Layout:
    """Order slices of one orientation and size, and find their grid."""
    lost = sum(not item.is_placed for item in slices)
    if lost:
        subject = (
            "no slice states its" if lost == len(slices) else f"{lost} of its {len(slices)} slices do not state their"
        )
        fault = f"{subject} position (Image Position, Image Orientation or Pixel Spacing is missing)"
        return Layout(tuple(slices), None, fault=fault)
    distances = compute_distances(slices)
    order = np.argsort(distances, kind="stable")
    ordered, distances = tuple(slices[index] for index in order), distances[order]
    if len(ordered) < 2:
        return Layout(ordered, None, fault="it has one slice, and a volume needs more")
    steps = np.diff(distances)
    step_mm = float(np.median(steps))
    counts = np.rint(steps / step_mm) if step_mm > 0 else np.zeros_like(steps)
    if (counts < 1).any() or (abs(steps - counts * step_mm) > max(UNEVEN_SHARE * step_mm, 0.02)).any():
        fault = f"its slices have uneven distances, {steps.min():.2f} to {steps.max():.2f} mm"
        return Layout(ordered, None, fault=fault)
    indices = np.concatenate([[0], np.cumsum(counts)]).astype(int)
    bend_mm = _measure_bend_mm(ordered, indices)
    if bend_mm > BENT_MM:
        return Layout(ordered, None, fault=f"its slices deviate from a straight line by {bend_mm:.1f} mm")
    missing = tuple(sorted(set(range(int(indices[-1]) + 1)) - set(indices.tolist())))
    grid = _build_grid(ordered, indices)
    return Layout(ordered, grid, tuple(indices.tolist()), missing, _describe_missing(missing, counts, len(ordered)))


def compute_distances(slices: Sequence[Slice]) -> Floats:
    """Return the position of each slice along the common normal, in mm."""
    normal = np.cross(np.asarray(slices[0].along), np.asarray(slices[0].down))
    return np.asarray([item.position_mm for item in slices], np.float64) @ normal


def name_orientation(slices: Sequence[Slice]) -> str:
    """Return axial, sagittal or coronal, or oblique if the normal is near no axis of the body."""
    if slices[0].along is None or slices[0].down is None:
        return "unknown"
    normal = np.abs(np.cross(np.asarray(slices[0].along), np.asarray(slices[0].down)))
    if normal.max() < 0.8:
        return "oblique"
    return ("sagittal", "coronal", "axial")[int(normal.argmax())]


def _measure_bend_mm(slices: Sequence[Slice], indices: npt.NDArray[np.int64]) -> float:
    positions = np.asarray([item.position_mm for item in slices], np.float64)
    straight = positions[0] + np.outer(indices / indices[-1], positions[-1] - positions[0])
    return float(np.linalg.norm(positions - straight, axis=1).max())


def _build_grid(slices: Sequence[Slice], indices: npt.NDArray[np.int64]) -> Grid:
    first, last = slices[0], slices[-1]
    assert first.spacing_mm is not None
    origin = np.asarray(first.position_mm)
    along, down = np.asarray(first.along) * first.spacing_mm[1], np.asarray(first.down) * first.spacing_mm[0]
    step = (np.asarray(last.position_mm) - origin) / indices[-1]
    affine = build_ras_affine(np.column_stack((along, down, step)), origin)
    shape = (first.stored.columns, first.stored.rows, int(indices[-1]) + 1)
    leans = abs(float(step @ along)) + abs(float(step @ down)) > 1e-3
    return Grid(shape, affine, sform_code=1, qform_code=0 if leans else 1)


def _describe_missing(missing: Sequence[int], counts: Floats, present: int) -> str:
    longest = int(counts.max()) - 1
    if longest <= MISSING_RUN and len(missing) <= max(1, MISSING_SHARE * (present + len(missing))):
        return ""
    return f"{len(missing)} of its {present + len(missing)} slices are missing, up to {longest} in a row"
