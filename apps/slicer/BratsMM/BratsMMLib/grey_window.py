"""Choose the intensities of an image to draw black and white, as in all other outputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from BratsMMLib.background import find_foreground
from BratsMMLib.display import GREY_PERCENTILES
from BratsMMLib.sequences import Sequence


def grey_window(voxels: Any, sequence: Sequence) -> tuple[float, float]:
    """Return percentiles of the foreground. Every second voxel along each axis counts."""
    foreground = find_foreground(voxels)
    axes = (0, 1, 2)
    filled = [np.flatnonzero(foreground.any(axis=tuple(other for other in axes if other != axis))) for axis in axes]
    box = tuple(slice(places[0], places[-1] + 1) if places.size else slice(None) for places in filled)
    coarse, inside = voxels[box][::2, ::2, ::2], foreground[box][::2, ::2, ::2]
    low, high = np.percentile(coarse[inside] if inside.any() else coarse, GREY_PERCENTILES[sequence.value])
    return float(low), float(max(high, low + 1e-6))
