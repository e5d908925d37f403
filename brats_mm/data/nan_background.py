"""NaN as background: masking tools leave it around the brain when they divide by a mask."""

import numpy as np

from brats_mm.domain.volume import Array

_FACES: tuple[tuple[slice | int, ...], ...] = tuple(
    (slice(None),) * axis + (end,) for axis in range(3) for end in (0, -1)
)

_PINHOLE_VOXELS = 27
_PINHOLES_SHARE = 1e-3


def fill_nan_background(data: Array) -> tuple[Array, tuple[str, ...]]:
    """Set NaN outside the head to 0. NaN inside is unchanged, and the caller must reject it.

    NaN voxels are outside if they are connected to the border of the volume. With such a background, pinholes of a mask
    are accepted: a few voxels each, and a thousandth of the image in total.

    Returns:
        The voxels, and a note if any were set to 0.
    """
    if not np.isnan(data.min()) or np.isinf(data).any():
        return data, ()
    missing = np.isnan(data)
    if missing.all():
        return data, ()
    from scipy import ndimage  # takes a third of a second, and most images have no NaN

    parts, count = ndimage.label(missing, np.ones((3, 3, 3), np.uint8))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    outside = np.unique(np.concatenate([np.unique(parts[face]) for face in _FACES]))
    holes = np.delete(sizes, np.union1d(outside, [0]))
    if outside.max() == 0 or (holes > _PINHOLE_VOXELS).any() or holes.sum() > sizes[0] * _PINHOLES_SHARE:
        return data, ()
    note = f"{int(missing.sum()):,} voxels around the head are NaN and are read as 0 (background)"
    return np.where(missing, np.float32(0), data), (note,)
