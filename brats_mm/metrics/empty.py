"""What a score is where a region is empty, and the rule that empties a small enhancing tumour.

Groups differ here, and by several points of enhancing-tumour Dice; so the rule has a name, which is saved with every
result.
"""

from enum import Enum

import numpy as np

from brats_mm.domain.label_map import Mask
from brats_mm.domain.regions import Region

SMALL_ENHANCING_VOXELS = 500
"""DeMoSeg and the RFNet lineage: fewer voxels of enhancing tumour than this become necrosis before scoring."""

PENALTY_MM = 373.13
"""HD95 where exactly one of the two is empty: the diagonal of a BraTS volume, 240 x 240 x 155 voxels of 1 mm."""

LESION_PENALTY_MM = 374.0
"""The same, as BraTS 2023 counts it for each lesion that was missed or made up."""


class EmptyPolicy(str, Enum):
    """How a case is scored whose region is empty in the reference, in the prediction, or in both."""

    BRATS = "brats"
    """Both empty: Dice, sensitivity and precision 1, HD95 0. One empty: Dice 0, HD95 the penalty, and the ratio that
    has no denominator is left out. BraTS servers, RFNet, DeMoSeg."""

    SKIP = "skip"
    """An empty reference leaves the case out for that region. An empty prediction scores as under `BRATS`. SimMLM's
    offline code (MONAI's default)."""

    @property
    def sentence(self) -> str:
        """For reports."""
        if self is EmptyPolicy.SKIP:
            return (
                "Where the reference has no voxel of a region, the case is left out for that region; a prediction that "
                f"misses a region wholly scores Dice 0 and HD95 {PENALTY_MM} mm."
            )
        return (
            "Where reference and prediction are both empty, Dice is 1 and HD95 0 mm; where only one is, Dice is 0 and "
            f"HD95 {PENALTY_MM} mm."
        )


def small_enhancing_becomes_necrosis(
    masks: dict[Region, Mask], *, minimum_voxels: int = SMALL_ENHANCING_VOXELS
) -> dict[Region, Mask]:
    """Relabel an enhancing tumour of fewer than `minimum_voxels` voxels in all as necrosis.

    The tumour core keeps its voxels, so only ET changes. Voxels are those of the masks' grid (1 mm in BraTS).

    Args:
        masks: nested masks of the three regions.
    """
    if int(masks[Region.ET].sum()) >= minimum_voxels:
        return masks
    return {**masks, Region.ET: np.zeros_like(masks[Region.ET])}
