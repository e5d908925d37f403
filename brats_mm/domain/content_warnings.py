"""Warnings about unsuitable images: copies of another sequence, masks, inverted contrast."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from brats_mm.domain.availability import sort_modalities
from brats_mm.domain.background import LEAST_TOLERANCE, ONE_SIDED_SHARE
from brats_mm.domain.modality import Modality
from brats_mm.domain.volume import Volume

COPY_CORRELATION = 0.9995
"""Correlation over the brain above which two sequences are copies. Two scans with the same contrast stay below 0.99."""

MIN_COMPARED = 100
"""Minimum number of voxels to compare two sequences."""

MASK_SHARE = 0.5
"""Fraction of the foreground at the largest value from which an image of 0 to 1 looks like a mask."""

BLURRED_SHARE = 0.025
"""Nearly-background voxels per foreground voxel above which a brain's outline looks blurred.

In 405 BraTS images the maximum is 0.015. After resampling with cubic splines in integers it is 0.04 to 0.13, and after
JPEG compression 0.03 to 0.06.
"""


def warn_about_content(modality: Modality, volume: Volume) -> list[str]:
    """Return warnings about an image that does not look like a scanned MR sequence."""
    warnings = []
    if volume.background.is_inverted:
        warnings.append(
            "is darker than its background almost everywhere, so its contrast may be inverted (a negative slope in "
            "the header). The model expects a dark background"
        )
    values = volume.data[volume.foreground][::16]
    if values.size and values.min() >= 0 and values.max() <= 1 and np.mean(values > 0.98 * values.max()) > MASK_SHARE:
        warnings.append(
            "looks like a mask: most of its foreground has the largest value, 1. Provide the MR sequence itself"
        )
    return [f"{modality.label} {doubt}." for doubt in warnings]


def warn_about_outline(modality: Modality, volume: Volume) -> list[str]:
    """Return a warning if faint voxels surround a skull-stripped brain, which count as brain.

    Args:
        modality: sequence that the image was given as.
        volume: skull-stripped image.
    """
    share = _measure_blur(volume)
    if share <= BLURRED_SHARE:
        return []
    return [
        f"{modality.label} has {share:.0%} of its foreground within {LEAST_TOLERANCE:.0%} of the background, as after "
        "resampling with splines or lossy compression. These voxels count as brain. Set them to the background, or "
        "use linear interpolation and lossless files."
    ]


def _measure_blur(volume: Volume) -> float:
    """Return the nearly-background voxels per foreground voxel around a one-sided background of one value, else 0.

    Z-scores have such voxels inside the brain, on both sides of the background.
    """
    background = volume.background
    if not background.is_exact or ONE_SIDED_SHARE <= background.below <= 1 - ONE_SIDED_SHARE:
        return 0.0
    distance = np.abs(volume.data[::2, ::2, ::2] - np.float32(background.value))
    strong = np.count_nonzero(distance > LEAST_TOLERANCE * background.scale)
    return (np.count_nonzero(distance) - strong) / strong if strong else 0.0


def warn_about_copies(volumes: Mapping[Modality, Volume]) -> list[str]:
    """Return warnings about pairs of sequences that are the same image except for scale and offset."""
    warnings = []
    for a, b in combinations(sort_modalities(volumes), 2):
        first, second = (volumes[m].data[::4, ::4, ::4].astype(np.float64) for m in (a, b))
        both = volumes[a].foreground[::4, ::4, ::4] & volumes[b].foreground[::4, ::4, ::4]
        x, y = first[both], second[both]
        if x.size < MIN_COMPARED or x.std() == 0 or y.std() == 0:
            continue
        if abs(float(np.corrcoef(x, y)[0, 1])) > COPY_CORRELATION:
            warnings.append(
                f"{a.label} and {b.label} are the same image except for scale. Provide a separate file for each "
                "sequence, and omit missing sequences."
            )
    return warnings
