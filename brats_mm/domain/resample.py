"""Changing the number of voxels over the same field of view, one axis after another, as products with weights.

Where an axis shrinks, each new voxel is the average of what it covers, so that nothing is skipped; where it grows,
values are interpolated linearly between voxel centres. Training and inference share this, so that the network sees the
same kind of image in both.
"""

import numpy as np
import numpy.typing as npt

from brats_mm.domain.volume import Array

SPACING_TOLERANCE = 0.02
"""Relative; a spacing within it of the wanted one is left as it is."""


def resampled_side(size: int, spacing_mm: float, wanted_mm: float) -> int:
    """Voxels along an axis of `size` voxels of `spacing_mm` once they are `wanted_mm` apart."""
    if abs(spacing_mm / wanted_mm - 1) <= SPACING_TOLERANCE:
        return size
    return max(1, round(size * spacing_mm / wanted_mm))


def axis_weights(old: int, new: int) -> npt.NDArray[np.float32]:
    """(new, old) weights from old voxels to new ones over the same length; rows sum to 1."""
    edges = np.arange(new + 1) * (old / new)
    if new < old:
        start, stop = edges[:-1, None], edges[1:, None]
        voxel = np.arange(old)[None]
        overlap = np.clip(np.minimum(stop, voxel + 1) - np.maximum(start, voxel), 0, None)
        return np.asarray(overlap / overlap.sum(axis=1, keepdims=True), np.float32)
    centre = np.clip((edges[:-1] + edges[1:]) / 2 - 0.5, 0, old - 1)
    distance = np.abs(centre[:, None] - np.arange(old)[None])
    return np.asarray(np.clip(1 - distance, 0, None), np.float32)


def resample(volume: Array, shape: tuple[int, int, int]) -> Array:
    """The volume with `shape` voxels over the same field of view; itself when it has that shape already."""
    for axis, new in enumerate(shape):
        old = volume.shape[axis]
        if new != old:
            turned = np.tensordot(axis_weights(old, new), volume, axes=(1, axis))
            volume = np.moveaxis(turned, 0, axis)
    return np.ascontiguousarray(volume)


def resample_signal(volume: Array, shape: tuple[int, int, int]) -> Array:
    """Resample an image whose background is exactly zero, and keep it exactly zero outside the signal.

    A voxel is kept where at least half of it is signal.
    """
    if volume.shape == shape:
        return volume
    signal = resample((volume != 0).astype(np.float32), shape) >= 0.5
    return resample(volume, shape) * signal
