"""MoFe on cross-entropy: more modalities should not classify worse than fewer (SimMLM, section 3.2 and supplement)."""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from brats_mm.losses.mofe import RANKING_WEIGHT, hinge


class CrossEntropyMoFeLoss(nn.Module):
    """`L+ + L- + weight * mean relu(l+ - l-)`, on a batch of stacked views: first those with more modalities.

    l is the cross-entropy of a sample in nats, L its mean over samples; + and - are the views with more and with fewer
    modalities. Where a sample has a single modality, both of its views are the same and its hinge is 0.

    Args:
        weight: lambda; 0 leaves the task losses alone.
    """

    def __init__(self, weight: float | int = RANKING_WEIGHT) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, logits: Float[Tensor, "twice_b c"], target: Int[Tensor, " twice_b"]) -> Float[Tensor, ""]:
        more, fewer = F.cross_entropy(logits.float(), target, reduction="none").chunk(2)
        return more.mean() + fewer.mean() + self.weight * hinge(more, fewer).mean()
