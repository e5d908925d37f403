"""Resample volumes over the same field of view, axis by axis, as products with weight matrices.

Along an axis that shrinks, each new voxel averages the voxels that it covers. Along an axis that grows, values are
interpolated linearly. Training and inference share this code, so the network sees the same kind of image in both. Only
the box with signal is computed, because a head fills a third of its field of view.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from brats_mm.domain.volume import Array

SPACING_TOLERANCE = 0.02
"""Relative difference of spacings below which resampling is skipped."""

HALF = 0.4999
"""Half a voxel minus a tolerance, so that rounding does not decide whether a voxel is kept."""


def compute_resampled_side(size: int, spacing_mm: float, target_mm: float) -> int:
    """Return the number of voxels along an axis after resampling from `spacing_mm` to `target_mm`."""
    if abs(spacing_mm / target_mm - 1) <= SPACING_TOLERANCE:
        return size
    return max(1, round(size * spacing_mm / target_mm))


def compute_axis_weights(old: int, new: int) -> npt.NDArray[np.float32]:
    """Return (new, old) weights from old to new voxels over the same length. Rows sum to 1."""
    edges = np.arange(new + 1) * (old / new)
    if new < old:
        start, stop = edges[:-1, None], edges[1:, None]
        voxel = np.arange(old)[None]
        overlap = np.clip(np.minimum(stop, voxel + 1) - np.maximum(start, voxel), 0, None)
        return np.asarray(overlap / overlap.sum(axis=1, keepdims=True), np.float32)
    centre = np.clip((edges[:-1] + edges[1:]) / 2 - 0.5, 0, old - 1)
    distance = np.abs(centre[:, None] - np.arange(old)[None])
    return np.asarray(np.clip(1 - distance, 0, None), np.float32)


@dataclass(frozen=True, eq=False)
class Part:
    """Box of a volume that is zero elsewhere, so that only the box needs computing.

    Attributes:
        data: content of the box.
        start: first voxel of the box along each axis of the volume.
    """

    data: Array
    start: tuple[int, int, int]

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """Return the box as an index into the volume."""
        x, y, z = (slice(start, start + side) for start, side in zip(self.start, self.data.shape, strict=True))
        return x, y, z


def crop_to_signal(volume: Array) -> Part:
    """Return a view of the smallest box that holds all nonzero voxels, or the first voxel if all are zero."""
    box = find_bounding_box(volume != 0)
    return Part(volume[box], (box[0].start, box[1].start, box[2].start))


def find_bounding_box(mask: npt.NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    """Return the smallest box that contains a mask, or one voxel for an empty mask."""
    sides = []
    for axis in range(3):
        inside = np.flatnonzero(mask.any(axis=tuple(other_axis for other_axis in range(3) if other_axis != axis)))
        sides.append(slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 1))
    return sides[0], sides[1], sides[2]


def resample_part(part: Part, old: tuple[int, int, int], new: tuple[int, int, int]) -> Part:
    """Resample a box as its volume is resampled from shape `old` to `new`. Keeps the memory order."""
    data, start = part.data, list(part.start)
    for axis in range(3):
        if new[axis] != old[axis]:
            weights = compute_axis_weights(old[axis], new[axis])[:, start[axis] : start[axis] + data.shape[axis]]
            reached = np.flatnonzero(weights.any(axis=1))
            start[axis] = int(reached[0])
            data = _multiply_along(weights[reached[0] : reached[-1] + 1], data, axis)
    return Part(data, (start[0], start[1], start[2]))


def resample(volume: Array, shape: tuple[int, int, int]) -> Array:
    """Resample a volume to `shape` over the same field of view. Returns the volume itself if the shape is equal.

    Args:
        volume: (h, w, d) volume.
        shape: number of voxels along each axis of the result.
    """
    old = (volume.shape[0], volume.shape[1], volume.shape[2])
    return np.ascontiguousarray(resample_part(Part(volume, (0, 0, 0)), old, shape).data)


def resample_signal(volume: Array, shape: tuple[int, int, int]) -> Array:
    """Resample an image with a background of exactly zero, and keep it exactly zero outside the signal.

    A voxel is kept if at least half of it is signal.

    Args:
        volume: (h, w, d) image, exactly zero outside the signal.
        shape: number of voxels along each axis of the result.
    """
    if volume.shape == shape:
        return volume
    old = (volume.shape[0], volume.shape[1], volume.shape[2])
    part = resample_signal_part(crop_to_signal(volume), old, shape)
    restored = np.zeros(shape, np.float32)
    restored[part.box] = part.data
    return restored


def resample_signal_part(part: Part, old: tuple[int, int, int], new: tuple[int, int, int]) -> Part:
    """Apply `resample_signal` to a box that holds all the signal."""
    if old == new:
        return part
    covered = resample_part(Part((part.data != 0).astype(np.float32), part.start), old, new)
    values = resample_part(part, old, new)
    return Part(values.data * (covered.data >= HALF), values.start)


def _multiply_along(weights: npt.NDArray[np.float32], volume: Array, axis: int) -> Array:
    """Multiply by weights along one axis without changing the memory order."""
    if volume.flags.f_contiguous and not volume.flags.c_contiguous:
        return _multiply_along(weights, volume.T, 2 - axis).T
    contiguous = np.ascontiguousarray(volume)
    first, second, third = contiguous.shape
    if axis == 0:
        return np.asarray((weights @ contiguous.reshape(first, -1)).reshape(-1, second, third))
    if axis == 1:
        return np.asarray(np.matmul(weights, contiguous))
    return np.asarray((contiguous.reshape(-1, third) @ weights.T).reshape(first, second, -1))
