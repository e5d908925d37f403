"""Fine-tune the modality experts together, on views of one crop with successively fewer modalities."""

import itertools
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from brats_mm.losses.mofe import RANKING_WEIGHT
from brats_mm.losses.tumour import dice_and_bce
from brats_mm.networks.mixing import compute_modality_weights, unsqueeze_to

TEACHER_SHARE = 0.25
"""Fraction of the full view's probabilities in the targets of the smaller views."""

VIEWS = 3
"""Maximum number of nested views of a crop."""


class ExpertEnsemble(nn.Module):
    """Modality experts with one gate value per modality and region, the same for every case.

    Args:
        experts: modality name -> expert from (b, 1, h, w, d) to (b, c, h, w, d), in channel order.
        gate_values: initial gate values (m, c).
    """

    def __init__(self, experts: Mapping[str, nn.Module], gate_values: Tensor) -> None:
        super().__init__()
        self.experts = nn.ModuleDict(dict(experts))
        self.gate = nn.Parameter(gate_values.detach().clone())

    def compute_expert_logits(self, image: Tensor, available: Tensor) -> list[Tensor | None]:
        """Return each expert's logits, or None for an expert whose modality no sample of the batch has.

        Args:
            image: (b, m, h, w, d) z-scores.
            available: (b, m) booleans.
        """
        return [
            expert(image[:, channel : channel + 1]) if bool(available[:, channel].any()) else None
            for channel, expert in enumerate(self.experts.values())
        ]

    def mix(self, logits: list[Tensor | None], available: Tensor) -> Tensor:
        """Mix experts' logits for an availability (b, m).

        Args:
            logits: result of `compute_expert_logits`.
            available: (b, m) booleans.

        Returns:
            Logits (b, c, h, w, d).
        """
        weights = compute_modality_weights(self.gate.expand(len(available), -1, -1), available)
        return sum(
            (
                unsqueeze_to(weights[:, channel], expert_logits.dim()) * expert_logits
                for channel, expert_logits in enumerate(logits)
                if expert_logits is not None and bool(available[:, channel].any())
            ),
            start=torch.zeros((), device=self.gate.device),
        )


def draw_nested_views(available: Tensor, rng: np.random.Generator) -> list[Tensor]:
    """Draw up to three nested subsets of a case's modalities, starting with all of them.

    Args:
        available: (m,) booleans.
        rng: source of randomness.
    """
    views = [available]
    present = np.flatnonzero(available.numpy())
    while len(present) > 1 and len(views) < VIEWS:
        size = int(rng.integers(1, len(present)))
        present = rng.choice(present, size, replace=False)
        view = torch.zeros_like(available)
        view[torch.from_numpy(present)] = True
        views.append(view)
    return views


def run_expert_step(network: nn.Module, image: Tensor, target: Tensor, available: Tensor) -> Tensor:
    """Return the loss of nested views of one crop.

    The loss is the mean over the views plus SimMLM's ranking loss (MoFe, section 3.2): a view with more modalities must
    not have a larger loss than the next smaller one. Unlike in the paper, the full view teaches the smaller ones
    through soft targets.

    Args:
        network: an `ExpertEnsemble`.
        image: (1, m, h, w, d).
        target: (1, c, h, w, d), 0 or 1.
        available: (1, m) booleans.
    """
    assert isinstance(network, ExpertEnsemble)
    logits = network.compute_expert_logits(image, available)
    rng = np.random.default_rng(int(torch.randint(2**31, (1,))))
    losses: list[Tensor] = []
    soft = target
    for view in draw_nested_views(available[0].cpu(), rng):
        mixed = network.mix(logits, view[None].to(image.device))
        losses.append(dice_and_bce(mixed, soft))
        if len(losses) == 1:
            soft = (1 - TEACHER_SHARE) * target + TEACHER_SHARE * torch.sigmoid(mixed.detach().float())
    ranking = [torch.relu(more - fewer) for more, fewer in itertools.pairwise(losses)]
    return torch.stack(losses).mean() + RANKING_WEIGHT * sum(ranking, start=torch.zeros((), device=image.device))
