"""Task loss: Dice plus binary cross-entropy per sample and region.

Source: SimMLM (Li, Chen, Han, ICCV 2025), section 4, with the details of the released code: MONAI's Dice loss with
smoothing of 1e-5 in numerator and denominator and plain (not squared) sums, and cross-entropy averaged over voxels.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float, Num, Shaped
from monai.losses import DiceLoss
from torch import Tensor, nn

_UNREDUCED_DICE = DiceLoss(sigmoid=True, reduction="none")


@dataclass(frozen=True, eq=False)
class TaskTerms:
    """Unreduced terms of the task loss.

    Attributes:
        dice: (b, c) Dice loss per sample and region, 0 to 1.
        bce: (b, c) mean cross-entropy per sample and region in nats, at least 0.
    """

    dice: Float[Tensor, "b c"]
    bce: Float[Tensor, "b c"]

    @property
    def task(self) -> Float[Tensor, "b c"]:
        """Dice plus cross-entropy."""
        return self.dice + self.bce


def compute_task_terms(logits: Float[Tensor, "b c h w d"], target: Shaped[Tensor, "b c h w d"]) -> TaskTerms:
    """Compute Dice and cross-entropy per sample and region in float32.

    `dice = 1 - (2 sum(p y) + 1e-5) / (sum(p) + sum(y) + 1e-5)` with `p = sigmoid(logit)` and sums over voxels. A region
    that is empty in the target counts too. Its Dice loss is close to 1 unless almost nothing is predicted.

    Args:
        logits: region logits of any precision.
        target: region masks, 0 or 1, of any type.
    """
    logits, target = logits.float(), target.float()
    dice = _UNREDUCED_DICE(logits, target).flatten(1)  # (b c)
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none").flatten(2).mean(dim=2)  # (b c)
    return TaskTerms(dice, bce)


class TaskLoss(nn.Module):
    """Mean of Dice plus cross-entropy over samples and regions. Used in stage 1, which trains each expert alone."""

    def forward(self, logits: Float[Tensor, "b c h w d"], target: Num[Tensor, "b c h w d"]) -> Float[Tensor, ""]:
        return compute_task_terms(logits, target).task.mean()
