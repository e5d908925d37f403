"""Convert a case to the model's input, and the model's output back to the input grid.

The model grid has axes in the order and direction of RAS and the voxel size of the trained model, and contains the box
around the brain. Axes are permuted and flipped exactly. Volumes are resampled only if their spacing differs. An oblique
volume keeps its rotation, so the network sees it like a tilted head.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from brats_mm.domain.availability import Availability, sort_modalities, to_flags
from brats_mm.domain.background import OUTLIER_FACTOR, limit_outliers
from brats_mm.domain.case import Case
from brats_mm.domain.modality import MODALITIES
from brats_mm.domain.resample import (
    Part,
    compute_resampled_side,
    find_bounding_box,
    resample_part,
    resample_signal_part,
)
from brats_mm.domain.volume import Array, Grid, Volume
from brats_mm.errors import VolumeError

MAX_SIDE_MM = 600.0
"""Longest side of a field of view. A longer field of view means a faulty header, and would not fit in memory."""

MIN_SIDE_MM = 20.0


@dataclass(frozen=True, eq=False)
class Placement:
    """Position of the model's box in the input grid.

    Attributes:
        grid: the input grid.
        axes: input axis of each RAS axis.
        flipped: for each RAS axis, whether it runs against its input axis.
        model_shape: shape of the model grid before cropping.
        box: start and stop of the box along each axis of the model grid.
    """

    grid: Grid
    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    model_shape: tuple[int, int, int]
    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Return the box as an index into the model grid."""
        x, y, z = (slice(start, stop) for start, stop in self.box)
        return x, y, z


@dataclass(frozen=True, eq=False)
class ModelInput:
    """Input of the network.

    Attributes:
        image: (m, h, w, d), z-scored inside the brain, exactly zero outside it and in missing modalities.
        available: the available modalities.
        brain: (h, w, d) mask of voxels with signal in any modality.
        placement: position of the box on the input grid.
    """

    image: Float[Tensor, "m h w d"]
    available: Availability
    brain: Bool[Tensor, "h w d"]
    placement: Placement

    @property
    def flags(self) -> Bool[Tensor, " m"]:
        """Return the availability as one boolean per channel."""
        return torch.tensor(to_flags(self.available))


def prepare(case: Case, spacing_mm: float = 1.0) -> ModelInput:
    """Bring a case to the model grid, cut the brain's box, and z-score each modality inside the brain.

    Normalisation is nnU-Net's: mean and standard deviation over the modality's own foreground, on the input grid.
    Outliers are clipped first, so that a single bright voxel does not compress the intensity range.

    Args:
        case: the volumes, on one grid.
        spacing_mm: voxel size of the model grid.

    Raises:
        VolumeError: the field of view is too small or too large for a head.
    """
    axes, flipped = _to_ras(case.grid)
    shape = _compute_model_shape(case.grid, axes, spacing_mm)
    modalities = sort_modalities(case.available)
    with ThreadPoolExecutor(max_workers=len(modalities)) as pool:  # NumPy releases the GIL
        volumes = [case.volumes[modality] for modality in modalities]
        parts = list(pool.map(lambda volume: _extract_model_part(volume, axes, flipped, shape), volumes))
    box = _unite_boxes([part.box for part in parts])
    image = torch.zeros((len(MODALITIES), *(side.stop - side.start for side in box)))
    for modality, part in zip(modalities, parts, strict=True):
        h, w, d = (slice(at.start - side.start, at.stop - side.start) for at, side in zip(part.box, box, strict=True))
        image[modality.channel, h, w, d] = torch.from_numpy(np.ascontiguousarray(part.data))
    brain = (image != 0).any(dim=0)
    tight = find_bounding_box(brain.numpy())
    x, y, z = ((side.start + cut.start, side.start + cut.stop) for side, cut in zip(box, tight, strict=True))
    placement = Placement(case.grid, axes, flipped, shape, (x, y, z))
    return ModelInput(image[(slice(None), *tight)].contiguous(), case.available, brain[tight].contiguous(), placement)


def restore(volume: Float[Tensor, "h w d"], placement: Placement, *, outside: float = 0.0) -> Array:
    """Bring a map from the model's box back to the input grid, with the value `outside` elsewhere.

    The result has its first axis contiguous in memory, like a NIfTI file, to avoid a conversion when writing.

    Args:
        volume: (h, w, d) map over the model's box.
        placement: position of the box on the input grid.
        outside: value outside the box.

    Returns:
        float32 array of `placement.grid.shape`.
    """
    return restore_with(volume, placement, lambda values: values, outside=outside)


def restore_with(
    volume: Float[Tensor, "h w d"], placement: Placement, change: Callable[[Array], Array], *, outside: float = 0.0
) -> Array:
    """Restore a map like `restore`, then apply `change` to every voxel. Computes it only inside the box.

    Args:
        volume: (h, w, d) map over the model's box.
        placement: position of the box on the input grid.
        change: function of an array, applied to each voxel after interpolation.
        outside: value outside the box, before `change`.

    Returns:
        float32 array of `placement.grid.shape`.
    """
    data = np.asfortranarray(volume.float().cpu().numpy() - np.float32(outside))
    x, y, z = placement.axes
    shape = placement.grid.shape
    start = (placement.box[0][0], placement.box[1][0], placement.box[2][0])
    part = resample_part(Part(data, start), placement.model_shape, (shape[x], shape[y], shape[z]))
    fill = change(np.full(1, outside, np.float32))[0]
    restored = np.full(shape, fill, np.float32, order="F")
    ras = np.flip(restored.transpose(placement.axes), tuple(axis for axis in range(3) if placement.flipped[axis]))
    ras[part.box] = change(part.data + np.float32(outside))
    return restored


def _to_ras(grid: Grid) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Return the permutation and flips that bring the grid's axes closest to R, A, S."""
    orientation = nib.orientations.io_orientation(grid.affine)
    order = [int(np.flatnonzero(orientation[:, 0] == axis)[0]) for axis in range(3)]
    against = [bool(orientation[axis, 1] < 0) for axis in order]
    return (order[0], order[1], order[2]), (against[0], against[1], against[2])


def _compute_model_shape(grid: Grid, axes: tuple[int, int, int], spacing_mm: float) -> tuple[int, int, int]:
    shape = []
    for axis in axes:
        size, spacing = grid.shape[axis], grid.spacing_mm[axis]
        side = size * spacing
        if not MIN_SIDE_MM <= side <= MAX_SIDE_MM:
            raise VolumeError(
                f"The volume's axis {axis + 1} is {side:.0f} mm long ({size} voxels of {spacing:.3g} mm), but a head "
                f"needs {MIN_SIDE_MM:.0f} to {MAX_SIDE_MM:.0f} mm. Check the voxel size in the header."
            )
        shape.append(compute_resampled_side(size, spacing, spacing_mm))
    return shape[0], shape[1], shape[2]


def _extract_model_part(
    volume: Volume, axes: tuple[int, int, int], flipped: tuple[bool, bool, bool], shape: tuple[int, int, int]
) -> Part:
    """Return a volume's box with signal, z-scored, in RAS order and at the model's voxel size."""
    background, box = volume.background, find_bounding_box(volume.foreground)
    inside = volume.foreground[box]
    data = volume.data[box] - np.float32(background.value)
    if not background.is_exact:
        data[~inside] = 0
    data = limit_outliers(data, OUTLIER_FACTOR * background.scale)
    count = max(1, np.count_nonzero(inside))
    data -= np.float32(data.sum(dtype=np.float64) / count)
    data *= inside.astype(np.float32)
    deviation = np.sqrt(np.square(data).sum(dtype=np.float64) / count)
    data *= np.float32(1 / max(float(deviation), 1e-8))
    old = volume.grid.shape
    new = [0, 0, 0]
    for ras, axis in enumerate(axes):
        new[axis] = shape[ras]
    start = (box[0].start, box[1].start, box[2].start)
    part = resample_signal_part(Part(data, start), old, (new[0], new[1], new[2]))
    against = tuple(axis for axis in range(3) if flipped[axis])
    begin = [
        new[axis] - part.start[axis] - part.data.shape[axis] if flipped[ras] else part.start[axis]
        for ras, axis in enumerate(axes)
    ]
    return Part(np.flip(part.data.transpose(axes), against), (begin[0], begin[1], begin[2]))


def _unite_boxes(boxes: Sequence[tuple[slice, slice, slice]]) -> tuple[slice, slice, slice]:
    """Return the smallest box that contains all boxes."""
    x, y, z = (
        slice(min(side.start for side in sides), max(side.stop for side in sides)) for sides in zip(*boxes, strict=True)
    )
    return x, y, z
