"""MoFe: more modalities should not do worse than fewer (SimMLM, section 3.2).

Two views of the same samples, one with more modalities than the other, go through the network; a hinge punishes the
network where the view with more has the larger loss. The paper's formula and the released code differ:

    paper     L+ + L- + lambda relu(L+ - L-), one hinge a sample on the whole task loss
    released  (L+ + L-) / 2 + lambda R, with hinges on Dice and on cross-entropy apart, each sample and region apart:
              R = mean_bc relu(D+ - D-) + mean_bc relu(B+ - B-)

Because its task term is a mean and not a sum, the released lambda of 0.1 weighs as 0.2 would in the paper's form.
Nothing is detached: a violated hinge pulls the loss with more modalities down and pushes the one with fewer up. Where
the order holds, the hinge has no gradient.
"""

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn

from brats_mm.losses.segmentation import TaskTerms, task_terms

RANKING_WEIGHT = 0.1
"""Lambda of the paper, section 4; 0.01 to 0.5 all helped on BraTS."""


def hinge(more: Float[Tensor, "*shape"], fewer: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """`relu(more - fewer)`: by how much the loss with more modalities exceeds the loss with fewer; margin 0."""
    return torch.relu(more - fewer)


def paper_ranking(more: TaskTerms, fewer: TaskTerms) -> Float[Tensor, ""]:
    """Hinge on each sample's task loss (the mean over regions of Dice plus cross-entropy), averaged over samples."""
    return hinge(more.task.mean(dim=1), fewer.task.mean(dim=1)).mean()


def paper_loss(more: TaskTerms, fewer: TaskTerms, weight: float | int = RANKING_WEIGHT) -> Float[Tensor, ""]:
    """`L+ + L- + weight * ranking` (SimMLM, section 3.2)."""
    return more.task.mean() + fewer.task.mean() + weight * paper_ranking(more, fewer)


def released_ranking(more: TaskTerms, fewer: TaskTerms) -> Float[Tensor, ""]:
    """Hinges on Dice and on cross-entropy of each sample and region, each averaged, then added."""
    return hinge(more.dice, fewer.dice).mean() + hinge(more.bce, fewer.bce).mean()


def released_loss(more: TaskTerms, fewer: TaskTerms, weight: float | int = RANKING_WEIGHT) -> Float[Tensor, ""]:
    """`(L+ + L-) / 2 + weight * ranking` (the authors' released code)."""
    return (more.task.mean() + fewer.task.mean()) / 2 + weight * released_ranking(more, fewer)


def views(
    logits: Float[Tensor, "twice_b c h w d"], target: Num[Tensor, "twice_b c h w d"]
) -> tuple[TaskTerms, TaskTerms]:
    """Task terms of the two halves of a batch of stacked views: first the views with more, then those with fewer."""
    terms = task_terms(logits, target)
    more_dice, fewer_dice = terms.dice.chunk(2)
    more_bce, fewer_bce = terms.bce.chunk(2)
    return TaskTerms(more_dice, more_bce), TaskTerms(fewer_dice, fewer_bce)


class PaperMoFeLoss(nn.Module):
    """Task and ranking loss as the paper writes them, on a batch of stacked views.

    Args:
        weight: lambda; 0 leaves the task losses alone.
    """

    def __init__(self, weight: float | int = RANKING_WEIGHT) -> None:
        super().__init__()
        self.weight = weight

    def forward(
        self, logits: Float[Tensor, "twice_b c h w d"], target: Num[Tensor, "twice_b c h w d"]
    ) -> Float[Tensor, ""]:
        more, fewer = views(logits, target)
        return paper_loss(more, fewer, self.weight)


class ReleasedMoFeLoss(nn.Module):
    """Task and ranking loss as the released code computes them, on a batch of stacked views.

    The released code also crops the two views of a sample independently; here that is a setting of its own
    (`data.pair_crops`), and by default both are the same crop, as the paper's formula reads.

    Args:
        weight: lambda; 0 leaves the task losses alone.
    """

    def __init__(self, weight: float | int = RANKING_WEIGHT) -> None:
        super().__init__()
        self.weight = weight

    def forward(
        self, logits: Float[Tensor, "twice_b c h w d"], target: Num[Tensor, "twice_b c h w d"]
    ) -> Float[Tensor, ""]:
        more, fewer = views(logits, target)
        return released_loss(more, fewer, self.weight)
