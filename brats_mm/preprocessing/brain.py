"""Extract the brain: average the network's logits over sequences, and threshold them at the border in the image.

The network was trained on synthetic heads. On real heads, its level sets follow the brain's shape, but the level of
probability 0.5 is several millimetres too deep. So the level is chosen per case: the one with the largest drop in
brightness from just inside to just outside, where skull and fluid begin.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from brats_mm.domain.label_map import Mask
from brats_mm.domain.modality import Modality
from brats_mm.domain.resample import find_bounding_box, resample
from brats_mm.domain.volume import Array, Grid
from brats_mm.preprocessing.brain_network import MULTIPLE, SPACING_MM, load_brain_network, normalise
from brats_mm.preprocessing.head import compute_head_mask

HEAD_MM = 216.0
"""Height below the top of the head that can contain brain, in millimetres. The neck is below."""
_MARGIN = 4
_OUTSIDE_LOGIT = -12.0

LEVELS = tuple(-0.5 * step for step in range(10))
"""Candidate logits of the brain's border, from a probability of 0.5 outwards."""
_MAX_BRIGHTNESS = 1.6
"""Brightness relative to brain at which fat and eyes are clipped."""

MIN_ML, MAX_ML = 700.0, 2100.0
"""Plausible volume of a brain with its fluid, with a margin: 124 skull-stripped BraTS cases have 1000 to 1910 mL."""
MIN_AGREEMENT = 0.88


@dataclass(frozen=True, eq=False)
class Brain:
    """An extracted brain.

    Attributes:
        mask: brain mask, of the shape of the images.
        agreement: lowest Dice between the brain from a single sequence and that from all sequences.
        level: logit of the threshold. 0 is a probability of 0.5.
    """

    mask: Mask
    agreement: float
    level: float = 0.0


def extract_brain(images: Mapping[Modality, Array], grid: Grid) -> Brain:
    """Extract the brain from images on one grid, in any orientation.

    Voxels where a sequence is exactly 0, which is outside its field of view after resampling, ignore that sequence.

    Args:
        images: sequences with skull, each of `grid.shape`.
        grid: their grid.
    """
    shape = tuple(max(1, round(n * mm / SPACING_MM)) for n, mm in zip(grid.shape, grid.spacing_mm, strict=True))
    small = {m: grid.to_ras(resample(data, (shape[0], shape[1], shape[2]))) for m, data in images.items()}
    box = _find_head_box(small)
    logits = {modality: _compute_logits(data, box) for modality, data in small.items()}
    has_signal = {modality: data != 0 for modality, data in small.items()}
    weight = np.maximum(sum(signal.astype(np.float32) for signal in has_signal.values()), 1)
    together = np.asarray(sum(np.where(has_signal[m], logits[m], 0) for m in logits) / weight, np.float32)
    together[~np.logical_or.reduce(list(has_signal.values()))] = _OUTSIDE_LOGIT
    level = _find_level(together, small)
    consensus = _make_solid(together > level)
    agreement = min(
        _compute_dice(_make_solid(values > level) & has_signal[m], consensus & has_signal[m])
        for m, values in logits.items()
    )
    together[~ndimage.binary_dilation(consensus, iterations=1)] = _OUTSIDE_LOGIT
    native = resample(np.ascontiguousarray(grid.from_ras(together)), grid.shape)
    return Brain(_make_solid(native > level), agreement, level)


def find_volume_warnings(mask: Mask, grid: Grid) -> tuple[str, ...]:
    """Return reasons why a brain's volume is implausible. Empty if it is plausible."""
    volume_ml = np.count_nonzero(mask) * grid.voxel_ml
    if MIN_ML <= volume_ml <= MAX_ML:
        return ()
    return (f"it has {volume_ml:.0f} mL, but {MIN_ML:.0f} to {MAX_ML:.0f} mL are usual",)


def find_brain_warnings(mask: Mask, grid: Grid, agreement: float) -> tuple[str, ...]:
    """Return reasons to check an extracted brain. Empty if there are none."""
    doubts = list(find_volume_warnings(mask, grid))
    if agreement < MIN_AGREEMENT:
        doubts.append(f"the brain masks of single sequences agree only with a Dice of {agreement:.2f}")
    return tuple(doubts)


def _find_head_box(images: Mapping[Modality, Array]) -> tuple[slice, slice, slice]:
    """Return the head's box with a margin, without the part of a long scan that cannot contain brain."""
    heads = np.logical_or.reduce([compute_head_mask(np.ascontiguousarray(image)) for image in images.values()])
    sides = [slice(max(0, side.start - _MARGIN), side.stop + _MARGIN) for side in find_bounding_box(heads)]
    low = max(sides[2].start, sides[2].stop - round(HEAD_MM / SPACING_MM))
    return sides[0], sides[1], slice(low, sides[2].stop)


def _compute_logits(image: Array, box: tuple[slice, slice, slice]) -> Array:
    """Return the network's logits inside the box, and a strongly negative logit outside it."""
    head = normalise(np.ascontiguousarray(image[box]))
    padded = np.pad(head, [(0, -side % MULTIPLE) for side in head.shape])
    with torch.inference_mode():
        result = load_brain_network()(torch.from_numpy(padded)[None, None])[0, 0].numpy()
    logits = np.full(image.shape, _OUTSIDE_LOGIT, np.float32)
    x, y, z = (slice(0, side) for side in head.shape)
    logits[box] = result[x, y, z]
    return logits


def _find_level(logits: Array, images: Mapping[Modality, Array]) -> float:
    """Return the level with the largest mean drop in brightness from just inside to just outside the brain."""
    core = ndimage.binary_erosion(logits > 0, iterations=2)
    has_signal = {modality: image != 0 for modality, image in images.items()}
    inner = {modality: image[core & has_signal[modality]] for modality, image in images.items()}
    usable = [modality for modality, values in inner.items() if values.size and np.median(values) > 0]
    if not usable:
        return 0.0
    bright = [
        np.clip(images[modality] / np.float32(np.median(inner[modality])), 0, _MAX_BRIGHTNESS) for modality in usable
    ]
    mean = ndimage.gaussian_filter(np.mean(bright, axis=0, dtype=np.float32), 0.5)
    everywhere = np.logical_and.reduce([has_signal[modality] for modality in usable])
    falls = [_measure_brightness_drop(mean, _make_solid(logits > level), everywhere) for level in LEVELS]
    return LEVELS[int(np.argmax(falls))]


def _measure_brightness_drop(brightness: Array, mask: Mask, has_signal: Mask) -> float:
    """Return the median brightness of a mask's outermost voxels minus that of the surrounding voxels."""
    inside = brightness[mask & ~ndimage.binary_erosion(mask) & has_signal]
    outside = brightness[ndimage.binary_dilation(mask) & ~mask & has_signal]
    return float(np.median(inside) - np.median(outside)) if inside.size and outside.size else -np.inf


def _make_solid(mask: Mask) -> Mask:
    """Return the largest component after opening, with filled cavities."""
    box = find_bounding_box(mask)
    inner = np.pad(mask[box], 2)
    pieces, count = ndimage.label(ndimage.binary_erosion(inner))
    if count == 0:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    largest = ndimage.binary_dilation(pieces == sizes.argmax(), iterations=2) & inner
    solid = np.zeros_like(mask)
    solid[box] = ndimage.binary_fill_holes(largest)[2:-2, 2:-2, 2:-2]
    return solid


def _compute_dice(a: Mask, b: Mask) -> float:
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2 * int(np.count_nonzero(a & b)) / max(1, total)
