"""Warnings about unsuitable images: copies of another sequence, masks, inverted contrast."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from brats_mm.domain.availability import sort_modalities
from brats_mm.domain.modality import Modality
from brats_mm.domain.volume import Volume

COPY_CORRELATION = 0.9995
"""Correlation over the brain above which two sequences are copies. Two scans with the same contrast stay below 0.99."""

MIN_COMPARED = 100
"""Minimum number of voxels to compare two sequences."""

MASK_SHARE = 0.5
"""Fraction of the foreground at the largest value from which an image of 0 to 1 looks like a mask."""


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


def copy_warnings(volumes: Mapping[Modality, Volume]) -> list[str]:
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
