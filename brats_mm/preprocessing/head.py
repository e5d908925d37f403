"""Segment the head in a raw scan: the largest component brighter than air, with filled cavities."""

import numpy as np
from scipy import ndimage

from brats_mm.domain.label_map import Mask
from brats_mm.domain.preprocessing import make_working_grid
from brats_mm.domain.resample import resample
from brats_mm.domain.volume import Array, Volume

COARSE_MM = 4.0
_BINS = 128


def downsample(volume: Volume, spacing_mm: float = COARSE_MM) -> Volume:
    """Resample a volume to about `spacing_mm` over the same field of view and along the same axes."""
    grid = make_working_grid(volume.grid, spacing_mm)
    return Volume(resample(volume.data, grid.shape), grid)


def compute_head_mask(data: Array) -> Mask:
    """Return the head mask of a coarse image with voxels of a few millimetres.

    The mask covers the whole image if no head stands out.
    """
    smooth = ndimage.gaussian_filter(data, 0.7)
    bright = smooth > _compute_threshold(smooth)
    closed = ndimage.binary_closing(np.pad(bright, 3), iterations=2)[3:-3, 3:-3, 3:-3]
    pieces, count = ndimage.label(closed)
    if count == 0:
        return np.ones(data.shape, np.bool_)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    head = pieces == sizes.argmax()
    for axis in range(3):  # cavities of the face are open at the lower end of the scan, so fill plane by plane
        planes = np.moveaxis(head, axis, 0)
        for index in range(planes.shape[0]):
            planes[index] = ndimage.binary_fill_holes(planes[index])
    return np.asarray(head)


def _compute_threshold(data: Array) -> float:
    """Return half of Otsu's threshold (IEEE Trans. SMC 1979) between air and head.

    In contrasts in which fat is far brighter than brain, the first threshold separates fat from brain.
    """
    low, high = np.percentile(data, (0.5, 98))
    if high <= low:
        return float(high)
    counts, edges = np.histogram(np.clip(data, low, high), _BINS, (low, high))
    weight = np.cumsum(counts) / data.size
    mean = np.cumsum(counts * (edges[:-1] + edges[1:]) / 2) / data.size
    between = (mean[-1] * weight - mean) ** 2 / np.maximum(weight * (1 - weight), 1e-9)
    return float(low + 0.5 * (edges[between.argmax() + 1] - low))
