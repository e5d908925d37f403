"""Drop small separate components of each region, which are mostly false positives."""

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor

from brats_mm.domain.label_map import Mask
from brats_mm.domain.regions import Region
from brats_mm.domain.resample import find_bounding_box

MIN_COMPONENT_ML = 0.2
"""Components below this volume are dropped, unless they are the largest one of their region."""

NESTED = (Region.WT, Region.TC, Region.ET)
"""Regions from the outermost to the innermost one."""

_TOUCH_26 = ndimage.generate_binary_structure(3, 3)
_JUST_OUTSIDE = 1e-3


def drop_small_lesions(logits: Float[Tensor, "c h w d"], voxel_ml: float) -> Float[Tensor, "c h w d"]:
    """Return logits in which small components of a region fall below the threshold.

    Voxels of a component touch at a face, an edge or a corner. Changing the sign of its logits removes it from the
    labels and keeps its entropy, so the uncertainty remains visible. Dropping a component of an outer region also drops
    the inner regions. The largest component of a region is always kept.

    Args:
        logits: region logits after calibration. Not changed.
        voxel_ml: volume of a voxel in millilitres.
    """
    result = logits
    for start in range(len(NESTED)):
        inner = [region.channel for region in NESTED[start:]]
        small = _find_small_components(_mask(result, inner), MIN_COMPONENT_ML / voxel_ml)
        if small is None:
            continue
        result = result.clone() if result is logits else result
        dropped = torch.from_numpy(small).to(result.device)
        for channel in inner:
            values = result[channel]
            values[dropped] = torch.where(
                values[dropped] >= 0, -values[dropped].clamp(min=_JUST_OUTSIDE), values[dropped]
            )
    return result


def _mask(logits: Tensor, channels: list[int]) -> Mask:
    return (logits[channels] >= 0).any(dim=0).cpu().numpy()


def _find_small_components(mask: Mask, smallest: float) -> Mask | None:
    """Return the voxels of components with fewer than `smallest` voxels, except the largest, or None without any."""
    if not mask.any():
        return None
    box = find_bounding_box(mask)
    components, count = ndimage.label(mask[box], _TOUCH_26)
    if count < 2:
        return None
    sizes = np.bincount(components.ravel())
    largest = sizes[1:].max()
    small = (sizes < smallest) & (sizes < largest)
    small[0] = False  # the background
    if not small.any():
        return None
    voxels = np.zeros_like(mask)
    voxels[box] = small[components]
    return voxels
