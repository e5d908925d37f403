"""Scores of empty regions, and the rule that removes a small enhancing tumour.

Conventions differ between groups and change enhancing-tumour Dice by several points. So the policy has a name, which
is saved with every result.
"""

from enum import Enum

import numpy as np

from brats_mm.domain.label_map import Mask
from brats_mm.domain.regions import Region

SMALL_ENHANCING_VOXELS = 500
"""An enhancing tumour with fewer voxels becomes necrosis before scoring (DeMoSeg, RFNet)."""

PENALTY_MM = 373.13
"""HD95 if exactly one mask is empty: the diagonal of a BraTS volume, 240 x 240 x 155 voxels of 1 mm."""

LESION_PENALTY_MM = 374.0
"""HD95 of each missed or false lesion in BraTS 2023."""


class EmptyPolicy(str, Enum):
    """Policy for a region that is empty in the reference, the prediction or both."""

    BRATS = "brats"
    """Both empty: Dice, sensitivity and precision 1, HD95 0. One empty: Dice 0, HD95 the penalty.

    A ratio without a denominator is NaN. Used by BraTS servers, RFNet and DeMoSeg.
    """

    SKIP = "skip"
    """Empty reference: the region is skipped. Empty prediction: as in `BRATS`.

    Used by SimMLM's offline code and by default in MONAI.
    """

    @property
    def sentence(self) -> str:
        """One-sentence definition for reports."""
        if self is EmptyPolicy.SKIP:
            return (
                "A region that is empty in the reference is skipped for that case. An empty prediction scores "
                f"Dice 0 and HD95 {PENALTY_MM} mm."
            )
        return (
            "If reference and prediction are both empty, Dice is 1 and HD95 0 mm. If only one is empty, Dice is 0 and "
            f"HD95 {PENALTY_MM} mm."
        )


def relabel_small_enhancing(
    masks: dict[Region, Mask], *, minimum_voxels: int = SMALL_ENHANCING_VOXELS
) -> dict[Region, Mask]:
    """Relabel an enhancing tumour with fewer than `minimum_voxels` voxels in total as necrosis.

    Only ET changes, because necrosis is part of the tumour core too. Voxels refer to the masks' grid, 1 mm in BraTS.

    Args:
        masks: nested masks of the three regions.
        minimum_voxels: smallest enhancing tumour that is kept.
    """
    if int(masks[Region.ET].sum()) >= minimum_voxels:
        return masks
    return {**masks, Region.ET: np.zeros_like(masks[Region.ET])}
