"""MoFe on cross-entropy: more modalities should not classify worse than fewer (SimMLM, section 3.2 and supplement)."""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from brats_mm.losses.mofe import RANKING_WEIGHT, hinge


class CrossEntropyMoFeLoss(nn.Module):
    """`L+ + L- + weight * mean relu(l+ - l-)` on a batch of stacked views, views with more modalities first.

    l is the cross-entropy of a sample in nats, and L its mean over samples. + and - denote the views with more and with
    fewer modalities. For a sample with a single modality, both views are equal and its hinge is 0.

    Args:
        weight: lambda. 0 uses the task losses only.
    """

    def __init__(self, weight: float | int = RANKING_WEIGHT) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, logits: Float[Tensor, "twice_b c"], target: Int[Tensor, " twice_b"]) -> Float[Tensor, ""]:
        more, fewer = F.cross_entropy(logits.float(), target, reduction="none").chunk(2)
        return more.mean() + fewer.mean() + self.weight * hinge(more, fewer).mean()
