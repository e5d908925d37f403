"""Deep supervision: the task loss on several decoder levels."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Num
from torch import Tensor, nn

from brats_mm.losses.segmentation import TaskLoss


class LevelsLoss(nn.Module):
    """Weighted mean of the task loss over decoder levels, with weights 1, 1/2, 1/4, ... from the finest level.

    The weights are nnU-Net's. Masks are max-pooled for coarse levels so that small regions do not vanish. With one
    level this is the task loss.
    """

    def __init__(self) -> None:
        super().__init__()
        self.task = TaskLoss()

    def forward(
        self, levels: Sequence[Float[Tensor, "b c _h _w _d"]], target: Num[Tensor, "b c h w d"]
    ) -> Float[Tensor, ""]:
        weights = [0.5**level for level in range(len(levels))]
        losses = [
            weight * self.task(logits, F.max_pool3d(target.float(), 2**level))
            for level, (weight, logits) in enumerate(zip(weights, levels, strict=True))
        ]
        return torch.stack(losses).sum() / sum(weights)
