"""From a case on its input grid to the model's input, and the way back for what the model says.

The model grid has its axes in the order and direction of RAS, the voxel size that the model was trained at, and holds
the box around the brain. Axes are permuted and flipped exactly; only another spacing than the model's is resampled. An
oblique volume keeps its rotation: the network sees it as it would see a tilted head.
"""

from dataclasses import dataclass

import nibabel as nib
import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from brats_mm.domain.availability import Availability, flags, ordered
from brats_mm.domain.case import Case
from brats_mm.domain.modality import MODALITIES
from brats_mm.domain.resample import resample, resample_signal, resampled_side
from brats_mm.domain.volume import Array, Grid, Volume
from brats_mm.errors import VolumeError

LARGEST_SIDE_MM = 600.0
"""No head is larger; what claims to be is a header fault, and its model grid would not fit in memory."""

SMALLEST_SIDE_MM = 20.0


@dataclass(frozen=True, eq=False)
class Placement:
    """Where the model's box lies in the input grid.

    Attributes:
        grid: the input grid.
        axes: for each RAS axis, the input axis it comes from.
        flipped: for each RAS axis, whether it runs against its input axis.
        model_shape: voxels of the model grid before the box is cut.
        box: start and stop of the box along each axis of the model grid.
    """

    grid: Grid
    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    model_shape: tuple[int, int, int]
    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """The box as an index into the model grid."""
        x, y, z = (slice(start, stop) for start, stop in self.box)
        return x, y, z


@dataclass(frozen=True, eq=False)
class ModelInput:
    """What the network is given.

    Attributes:
        image: (m, h, w, d), z-scored inside the brain, exactly zero outside it and in missing modalities.
        available: the modalities at hand.
        brain: (h, w, d), voxels where any modality has signal.
        placement: the way back.
    """

    image: Float[Tensor, "m h w d"]
    available: Availability
    brain: Bool[Tensor, "h w d"]
    placement: Placement

    @property
    def flags(self) -> Bool[Tensor, " m"]:
        """Availability as one boolean a channel."""
        return torch.tensor(flags(self.available))


def prepare(case: Case, spacing_mm: float = 1.0) -> ModelInput:
    """Bring a case to the model grid, cut the brain's box, and z-score each modality inside the brain.

    Normalisation is nnU-Net's: mean and standard deviation over the modality's own non-zero voxels, on the input grid.

    Args:
        case: the volumes, on one grid.
        spacing_mm: voxel size of the model grid.

    Raises:
        VolumeError: the field of view cannot be a head's.
    """
    axes, flipped = _to_ras(case.grid)
    shape = _model_shape(case.grid, axes, spacing_mm)
    image = torch.zeros((len(MODALITIES), *shape))
    for modality in ordered(case.available):
        image[modality.channel] = _model_volume(case.volumes[modality], axes, flipped, shape)
    brain = (image != 0).any(dim=0)
    box = _bounding_box(brain)
    placement = Placement(case.grid, axes, flipped, shape, box)
    x, y, z = placement.slices
    return ModelInput(image[:, x, y, z].contiguous(), case.available, brain[x, y, z].contiguous(), placement)


def restore(volume: Float[Tensor, "h w d"], placement: Placement, *, outside: float = 0.0) -> Array:
    """Bring a map from the model's box back to the input grid, with the value `outside` beyond the box."""
    whole = np.full(placement.model_shape, outside, np.float32)
    whole[placement.slices] = volume.float().cpu().numpy()
    x, y, z = placement.axes
    shape = placement.grid.shape
    array = resample(whole, (shape[x], shape[y], shape[z]))
    array = np.flip(array, tuple(axis for axis in range(3) if placement.flipped[axis]))
    return np.ascontiguousarray(np.transpose(array, np.argsort(placement.axes)))


def _to_ras(grid: Grid) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """The permutation and flips that bring the grid's axes closest to R, A, S."""
    orientation = nib.orientations.io_orientation(grid.affine)
    order = [int(np.flatnonzero(orientation[:, 0] == axis)[0]) for axis in range(3)]
    against = [bool(orientation[axis, 1] < 0) for axis in order]
    return (order[0], order[1], order[2]), (against[0], against[1], against[2])


def _model_shape(grid: Grid, axes: tuple[int, int, int], spacing_mm: float) -> tuple[int, int, int]:
    shape = []
    for axis in axes:
        size, spacing = grid.shape[axis], grid.spacing_mm[axis]
        side = size * spacing
        if not SMALLEST_SIDE_MM <= side <= LARGEST_SIDE_MM:
            message = (
                f"The volume's axis {axis + 1} is {side:.0f} mm long ({size} voxels of {spacing:.3g} mm); a head needs "
                f"{SMALLEST_SIDE_MM:.0f} to {LARGEST_SIDE_MM:.0f} mm. Check the voxel size in the header."
            )
            raise VolumeError(message)
        shape.append(resampled_side(size, spacing, spacing_mm))
    return shape[0], shape[1], shape[2]


def _model_volume(
    volume: Volume, axes: tuple[int, int, int], flipped: tuple[bool, bool, bool], shape: tuple[int, int, int]
) -> Float[Tensor, "h w d"]:
    data = volume.data - background_of(volume.data)
    inside = data != 0
    voxels = data[inside].astype(np.float64)
    normalised = np.where(inside, (data - voxels.mean()) / max(float(voxels.std()), 1e-8), 0).astype(np.float32)
    ras = np.flip(normalised.transpose(axes), tuple(axis for axis in range(3) if flipped[axis]))
    return torch.from_numpy(np.ascontiguousarray(resample_signal(ras, shape)))


def background_of(data: npt.NDArray[np.float32]) -> float:
    """The value that stands for "no brain here": that of the corner voxels when they agree, else zero.

    Images that were shifted or z-scored with their background have it at some other value than zero.
    """
    corners = data[:: max(1, data.shape[0] - 1), :: max(1, data.shape[1] - 1), :: max(1, data.shape[2] - 1)]
    value = float(corners.flat[0])
    return value if bool((corners == value).all()) else 0.0


def _bounding_box(mask: Bool[Tensor, "h w d"]) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    sides = []
    for axis in range(3):
        others = [other for other in range(3) if other != axis]
        inside = torch.nonzero(mask.any(dim=others[1]).any(dim=others[0])).flatten()
        sides.append((int(inside[0]), int(inside[-1]) + 1))
    return sides[0], sides[1], sides[2]
