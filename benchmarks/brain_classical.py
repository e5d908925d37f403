"""Classical brain extraction for comparison: threshold, erosion, largest component, growth.

In each sequence, erosion separates bright voxels from the scalp, and the largest component near the centre of the head
is grown back. The sequences vote. Only used in benchmarks.
"""

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from brats_mm.domain.modality import Modality
from brats_mm.domain.resample import resample
from brats_mm.domain.volume import Array, Grid
from brats_mm.preprocessing.brain import Brain
from brats_mm.preprocessing.head import compute_head_mask

PITCH_MM = 2.0
EROSION_MM = (4.0, 6.0, 8.0, 10.0)


def extract_brain_classically(images: Mapping[Modality, Array], grid: Grid) -> Brain:
    x, y, z = (max(1, round(n * mm / PITCH_MM)) for n, mm in zip(grid.shape, grid.spacing_mm, strict=True))
    masks = [_one(resample(image, (x, y, z))) for image in images.values()]
    vote = np.mean([mask.astype(np.float32) for mask in masks], axis=0)
    return Brain(resample(np.asarray(vote, np.float32), grid.shape) >= 0.5, 1.0)


def _one(image: Array) -> np.ndarray:
    head = compute_head_mask(image)
    inner = ndimage.distance_transform_edt(np.pad(head, 1))[1:-1, 1:-1, 1:-1] * PITCH_MM > 8
    low, high = np.percentile(image[head], (35, 97))
    tissue = inner & (image > 0.6 * low) & (image < 1.3 * high)
    depth = ndimage.distance_transform_edt(tissue) * PITCH_MM
    centre = np.array(ndimage.center_of_mass(head))
    for erosion_mm in EROSION_MM:
        pieces, count = ndimage.label(depth > erosion_mm)
        if not count:
            break
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        core = pieces == sizes.argmax()
        grown = ndimage.distance_transform_edt(~core) * PITCH_MM <= erosion_mm + PITCH_MM
        brain = ndimage.binary_fill_holes(ndimage.binary_closing(grown & tissue, iterations=3))
        volume_ml = brain.sum() * PITCH_MM**3 / 1000
        if volume_ml < 1900 and np.linalg.norm(np.array(ndimage.center_of_mass(brain)) - centre) * PITCH_MM < 60:
            return brain
    return head & inner
