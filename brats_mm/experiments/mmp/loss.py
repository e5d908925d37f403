"""MMP's alignment loss: projected features should match the features of the masked modality.

Source: Nezakati et al., arXiv 2410.03010: `L = L_task + lambda sum over masked i of SmoothL1(T'_i, T_i)`. Lambda is
unknown. The default of 0.2 is from the same group's later work (arXiv 2501.17823). The paper does not state whether the
target is detached. Here it is by default, because encoders could otherwise lower the loss by collapsing their tokens.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Num
from torch import Tensor, nn

from brats_mm.losses.segmentation import TaskLoss

ALIGNMENT_WEIGHT = 0.2


def smooth_l1(
    projected: Float[Tensor, "b m *features"], real: Float[Tensor, "b m *features"], masked: Bool[Tensor, "b m"]
) -> Float[Tensor, ""]:
    """Return the smooth L1 loss: mean over features, sum over masked modalities, mean over samples.

    With x = projected - real: `x^2 / 2` if |x| < 1, else `|x| - 1/2`. Samples without masked modalities count as 0.

    Args:
        projected: projected features (b, m, f, ...).
        real: features of the encoders, of the same shape.
        masked: (b, m) booleans, true for masked modalities.
    """
    losses = F.smooth_l1_loss(projected.float(), real.float(), reduction="none").flatten(2).mean(dim=2)  # (b m)
    return (losses * masked).sum(dim=1).mean()


class AlignedLoss(nn.Module):
    """Task loss plus the weighted alignment, averaged over the projected scales.

    Args:
        weight: lambda. 0 disables the alignment.
        detach: detach the real features.
    """

    def __init__(self, weight: float | int = ALIGNMENT_WEIGHT, *, detach: bool = True) -> None:
        super().__init__()
        self.task = TaskLoss()
        self.weight = weight
        self.detach = detach

    def forward(
        self,
        predicted: tuple[Tensor, Sequence[Tensor], Sequence[Tensor], Tensor],
        target: Num[Tensor, "b c h w d"],
    ) -> Float[Tensor, ""]:
        """Compute the loss.

        Args:
            predicted: logits (b, c, h, w, d), projected and real features (b, m, ...) of each projected scale, and the
                masked but present modalities, (b, m) booleans.
            target: region masks.
        """
        logits, projected, real, masked = predicted
        task: Tensor = self.task(logits, target)
        if not projected or self.weight == 0:
            return task
        scales = [
            smooth_l1(estimate, true.detach() if self.detach else true, masked)
            for estimate, true in zip(projected, real, strict=True)
        ]
        return task + self.weight * torch.stack(scales).mean()
