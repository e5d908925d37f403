"""Window and level: which intensities of an image to draw black and white, in pictures, scenes and viewers."""

import numpy as np

from brats_mm.domain.display import GREY_PERCENTILES
from brats_mm.domain.modality import Modality
from brats_mm.domain.resample import find_bounding_box
from brats_mm.domain.volume import Volume

Window = tuple[float, float]
"""The intensities drawn black and white."""


def choose_grey_window(volume: Volume, modality: Modality) -> Window:
    """Choose a window that covers nearly all of an image's foreground. Large images are sampled."""
    box = find_bounding_box(volume.foreground)
    coarse, inside = volume.data[box][::2, ::2, ::2], volume.foreground[box][::2, ::2, ::2]
    low, high = np.percentile(coarse[inside] if inside.any() else coarse, GREY_PERCENTILES[modality.value])
    return float(low), float(max(high, low + 1e-6))
