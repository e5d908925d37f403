"""MoFe ranking loss: more modalities should not score worse than fewer (SimMLM, section 3.2).

The network sees two views of each sample, one with more modalities than the other. A hinge penalises a larger loss of
the view with more. The paper's formula and the released code differ:

    paper     L+ + L- + lambda relu(L+ - L-), one hinge per sample on the whole task loss
    released  (L+ + L-) / 2 + lambda R, with separate hinges on Dice and cross-entropy per sample and region:
              R = mean_bc relu(D+ - D-) + mean_bc relu(B+ - B-)

The released code averages the task losses, so its lambda of 0.1 acts like 0.2 in the paper's formula. Neither loss is
detached: an active hinge lowers the loss with more modalities and raises the loss with fewer.
"""

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn

from brats_mm.losses.segmentation import TaskTerms, compute_task_terms

RANKING_WEIGHT = 0.1
"""Lambda of the paper (section 4). Values from 0.01 to 0.5 improved results on BraTS."""


def hinge(more: Float[Tensor, "*shape"], fewer: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return `relu(more - fewer)`, the excess of the loss with more modalities over the loss with fewer.

    Args:
        more, fewer: losses of the views with more and with fewer modalities, of any equal shape.
    """
    return torch.relu(more - fewer)


def paper_ranking(more: TaskTerms, fewer: TaskTerms) -> Float[Tensor, ""]:
    """Average the hinge on each sample's task loss, which is averaged over regions first.

    Args:
        more, fewer: task terms (b, c) of the views with more and with fewer modalities.

    Returns:
        Scalar, at least 0.
    """
    return hinge(more.task.mean(dim=1), fewer.task.mean(dim=1)).mean()


def paper_loss(more: TaskTerms, fewer: TaskTerms, weight: float | int = RANKING_WEIGHT) -> Float[Tensor, ""]:
    """Return `L+ + L- + weight * ranking` (SimMLM, section 3.2).

    Args:
        more, fewer: task terms (b, c) of the views with more and with fewer modalities.
        weight: lambda. 0 disables the ranking loss.

    Returns:
        Scalar.
    """
    return more.task.mean() + fewer.task.mean() + weight * paper_ranking(more, fewer)


def released_ranking(more: TaskTerms, fewer: TaskTerms) -> Float[Tensor, ""]:
    """Add the mean hinges on Dice and on cross-entropy over samples and regions.

    Args:
        more, fewer: task terms (b, c) of the views with more and with fewer modalities.

    Returns:
        Scalar, at least 0.
    """
    return hinge(more.dice, fewer.dice).mean() + hinge(more.bce, fewer.bce).mean()


def released_loss(more: TaskTerms, fewer: TaskTerms, weight: float | int = RANKING_WEIGHT) -> Float[Tensor, ""]:
    """Return `(L+ + L-) / 2 + weight * ranking` (the authors' released code).

    Args:
        more, fewer: task terms (b, c) of the views with more and with fewer modalities.
        weight: lambda. 0 disables the ranking loss.

    Returns:
        Scalar.
    """
    return (more.task.mean() + fewer.task.mean()) / 2 + weight * released_ranking(more, fewer)


def compute_view_terms(
    logits: Float[Tensor, "twice_b c h w d"], target: Num[Tensor, "twice_b c h w d"]
) -> tuple[TaskTerms, TaskTerms]:
    """Return the task terms of both halves of a batch: views with more modalities first, then those with fewer.

    Args:
        logits: (2b, c, h, w, d) region logits, views with more modalities first.
        target: (2b, c, h, w, d) region masks, 0 or 1.

    Returns:
        Task terms (b, c) of the views with more modalities, and of those with fewer.
    """
    terms = compute_task_terms(logits, target)
    more_dice, fewer_dice = terms.dice.chunk(2)
    more_bce, fewer_bce = terms.bce.chunk(2)
    return TaskTerms(more_dice, more_bce), TaskTerms(fewer_dice, fewer_bce)


class PaperMoFeLoss(nn.Module):
    """Task and ranking loss of the paper, on a batch of stacked views.

    Args:
        weight: lambda. 0 disables the ranking loss.
    """

    loss = staticmethod(paper_loss)

    def __init__(self, weight: float | int = RANKING_WEIGHT) -> None:
        super().__init__()
        self.weight = weight

    def forward(
        self, logits: Float[Tensor, "twice_b c h w d"], target: Num[Tensor, "twice_b c h w d"]
    ) -> Float[Tensor, ""]:
        more, fewer = compute_view_terms(logits, target)
        return self.loss(more, fewer, self.weight)


class ReleasedMoFeLoss(PaperMoFeLoss):
    """Task and ranking loss of the released code, with the arguments of `PaperMoFeLoss`.

    The released code also crops both views of a sample independently. `data.pair_crops` offers that separately. By
    default both views are the same crop, as in the paper's formula.
    """

    loss = staticmethod(released_loss)
