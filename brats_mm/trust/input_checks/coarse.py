"""Coarse images of a head, and a common frame for heads of any size and position."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from brats_mm.domain.label_map import Mask
from brats_mm.domain.volume import Array, Volume

STEP_MM = 4.0
FRAME_VOXELS = 16
"""Side of the common frame."""

FRAME_SIDES = 1.7
"""Side of the common frame, in cube roots of the head's volume."""


@dataclass(frozen=True, eq=False)
class CoarseImage:
    """An image sampled at equal distances along each axis, with axes in the order and direction of RAS.

    Attributes:
        values: grey values.
        inside: foreground.
    """

    values: Array
    inside: Mask


@dataclass(frozen=True, eq=False)
class Frame:
    """Common frame of a head: centre and distance of its samples, in coarse voxels."""

    centre: npt.NDArray[np.float64]
    step: float


def sample_coarse_image(volume: Volume, step_mm: float = STEP_MM) -> CoarseImage:
    """Sample a volume every `step_mm` millimetres, at the nearest voxels."""
    grid = volume.grid
    sampled = np.ix_(
        *(
            np.minimum(np.rint(np.arange(0, size * mm, step_mm) / mm).astype(np.int64), size - 1)
            for size, mm in zip(grid.shape, grid.spacing_mm, strict=True)
        )
    )
    values, inside = grid.to_ras(volume.data[sampled]), grid.to_ras(volume.foreground[sampled])
    return CoarseImage(np.ascontiguousarray(values, np.float32), np.ascontiguousarray(inside))


def unite_foregrounds(images: Iterable[CoarseImage]) -> Mask:
    """Return the union of the foregrounds of all images, which is the head."""
    return np.asarray(np.logical_or.reduce([image.inside for image in images]))


def fit_frame(inside: Mask) -> Frame:
    """Return the frame around a head's centre of mass, scaled by its volume. The head must not be empty."""
    voxels = np.argwhere(inside)
    return Frame(voxels.mean(axis=0), FRAME_SIDES * float(len(voxels)) ** (1 / 3) / FRAME_VOXELS)


def sample_in_frame(values: npt.NDArray[np.float32], frame: Frame) -> Array:
    """Sample a coarse image in the common frame, by linear interpolation. 0 outside the image.

    Args:
        values: (h, w, d) values of a coarse image.
        frame: frame of the head.
    """
    start = frame.centre - frame.step * (FRAME_VOXELS - 1) / 2
    shape = (FRAME_VOXELS,) * 3
    return np.asarray(ndimage.affine_transform(values, np.full(3, frame.step), start, shape, order=1), np.float32)
