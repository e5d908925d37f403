"""NaN as background: masking tools leave it around the brain when they divide by a mask."""

import numpy as np
from scipy import ndimage

from brats_mm.domain.volume import Array

_FACES: tuple[tuple[slice | int, ...], ...] = tuple(
    (slice(None),) * axis + (end,) for axis in range(3) for end in (0, -1)
)


def fill_nan_background(data: Array) -> tuple[Array, tuple[str, ...]]:
    """Set NaN outside the head to 0; NaN inside is left as it is, for the caller to refuse.

    Returns:
        the voxels, and a note where some were set. NaN voxels are outside where all of them hang together with the
        border of the volume.
    """
    if not np.isnan(data.min()) or np.isinf(data).any():
        return data, ()
    missing = np.isnan(data)
    if missing.all():
        return data, ()
    parts, count = ndimage.label(missing, np.ones((3, 3, 3), np.uint8))
    border = np.concatenate([np.unique(parts[at]) for at in _FACES])
    if len(set(border.tolist()) - {0}) < count:
        return data, ()
    note = f"{int(missing.sum()):,} voxels at the border of the volume are NaN; they are read as 0 (background)"
    return np.where(missing, np.float32(0), data), (note,)
