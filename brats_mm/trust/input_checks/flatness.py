"""Detect masks, label maps and probability maps that were given instead of a scan."""

import numpy as np

from brats_mm.trust.input_checks.coarse import CoarseImage

BINS = 256
FULLEST = 4
CEILING_PERCENTILE = 99.5


def flat_share(image: CoarseImage) -> float:
    """Return the fraction of the foreground in the four fullest of 256 bins of grey values, 0 to 1.

    Scans spread over many grey values. A mask or a label map has few, even after interpolation.

    Args:
        image: image with foreground.
    """
    values = image.values[image.inside]
    top = float(np.percentile(values, CEILING_PERCENTILE))
    low = min(0.0, float(values.min()))
    counts, _ = np.histogram(np.clip(values, low, top), BINS, (low, max(top, low + 1e-6)))
    return float(np.sort(counts)[-FULLEST:].sum() / values.size)
