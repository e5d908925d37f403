"""Dice and cross-entropy for tumour-centred crops, over several decoder levels."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVEL_DECAY = 0.5
"""Each coarser level counts half as much as the one above it (nnU-Net)."""

DICE_EPS = 1.0
"""Voxels added to numerator and denominator of Dice."""

TUMOUR_EPS = 200.0
"""Voxels added to a tumour's volume, so that the cross-entropy inside a small tumour counts less."""


def dice_and_bce(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean of soft Dice loss and binary cross-entropy.

    The Dice term skips regions that are empty in a crop, where its gradient vanishes. Cross-entropy covers them.

    Args:
        logits: (b, c, h, w, d).
        target: (b, c, h, w, d), 0 to 1.
    """
    logits = logits.float()
    bce = F.binary_cross_entropy_with_logits(logits, target)
    probability = torch.sigmoid(logits)
    overlap = (probability * target).flatten(2).sum(dim=2)
    total = (probability + target).flatten(2).sum(dim=2)
    dice = 1 - (2 * overlap + DICE_EPS) / (total + DICE_EPS)
    present = (target.flatten(2).amax(dim=2) > 0).float()
    return bce + (dice * present).sum() / present.sum().clamp(min=1)


def bce_inside_tumour(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of the inner regions over the voxels of the whole tumour, per crop.

    Mean cross-entropy over a crop hardly penalises an enhancing tumour predicted where the reference has none, because
    most voxels are background and the Dice term skips empty regions. This term weighs that error as much as a missed
    enhancing tumour.

    Args:
        logits: (b, c, h, w, d) with the whole tumour first.
        target: (b, c, h, w, d), 0 or 1.

    Returns:
        (b,) losses, 0 for crops without tumour.
    """
    inside = target[:, :1]
    bce = F.binary_cross_entropy_with_logits(logits[:, 1:].float(), target[:, 1:], reduction="none")
    summed = (bce * inside).flatten(2).sum(dim=2)
    return (summed / (inside.flatten(2).sum(dim=2) + TUMOUR_EPS)).mean(dim=1)


def level_loss(levels: Sequence[Tensor], target: Tensor, *, depth: int = 3) -> Tensor:
    """Average `dice_and_bce` over the finest decoder levels. Targets of coarser levels are mean-pooled.

    Args:
        levels: logits (b, c, h / 2^k, w / 2^k, d / 2^k) of each decoder level, finest first.
        target: (b, c, h, w, d) region masks, 0 to 1.
        depth: number of levels to use, from the finest.

    Returns:
        Scalar. Each level counts half as much as the next finer one.
    """
    total, weights = torch.zeros((), device=target.device), 0.0
    for number, logits in enumerate(levels[:depth]):
        weight = LEVEL_DECAY**number
        total = total + weight * dice_and_bce(logits, target)
        weights += weight
        if number + 1 < min(depth, len(levels)):
            target = F.avg_pool3d(target, 2)
    return total / weights


class TumourLoss(nn.Module):
    """`level_loss` as a module, for configs. Logits without further decoder levels count as one level."""

    def forward(self, logits: Tensor | Sequence[Tensor], target: Tensor) -> Tensor:
        """Return the loss of logits (b, c, h, w, d), or of one such tensor for each decoder level, finest first.

        Args:
            logits: logits of the network.
            target: (b, c, h, w, d) region masks, 0 to 1.
        """
        return level_loss([logits] if isinstance(logits, Tensor) else logits, target)
