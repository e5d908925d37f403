"""MWAM's running frequency ratios and the modality weights derived from them."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class WeightSettings:
    """Map a ratio to a weight: `K = alpha - beta sigmoid(steepness (T - centre))`, between alpha - beta and alpha.

    The defaults are those of the paper's main experiments, where a modality of average ratio (T = 1) has the weight
    0.64. The paper names a centre of 1 and a steepness of 4 for batches of 1 to 4. The released code has 1 and 10.

    Attributes:
        alpha: largest weight, for a modality without low frequencies.
        beta: difference to the weight of the most dominant modality.
        steepness: lambda of the paper.
        centre: gamma of the paper: the relative score with the weight alpha - beta / 2.
        momentum: w of the bank: `bank = w bank + (1 - w) ratio`, starting with the first ratio.
        sigma: constant added to the mean of the bank.
        mean_one: divide the weights by their mean over the modalities seen so far. They then shift learning between
            branches and leave its mean rate unchanged.
    """

    alpha: float | int = 1.5
    beta: float | int = 1.0
    steepness: float | int = 6.0
    centre: float | int = 0.7
    momentum: float | int = 0.5
    sigma: float | int = 1e-6
    mean_one: bool = False


def compute_branch_weights(scores: Float[Tensor, " m"], settings: WeightSettings) -> Float[Tensor, " m"]:
    """Return the weight K of each modality for its relative score T, or 1 if the score is NaN."""
    weights = settings.alpha - settings.beta * torch.sigmoid(settings.steepness * (scores - settings.centre))
    return torch.where(scores.isnan(), 1.0, weights)


class ModalityBank:
    """Running ratios of the modalities, and their weights (MWAM, section 3).

    The relative score is `T = ratio / (mean of the bank + sigma)` with the ratio of the batch, as in the released code.
    The paper's text is ambiguous. The mean is over the modalities seen so far. A modality that is absent from a batch
    uses its banked ratio and does not change the bank. A modality that was never seen has the weight 1.

    Args:
        modalities: number of modalities.
        settings: see `WeightSettings`.

    Attributes:
        ratios: (m,) banked ratios. NaN for modalities never seen.
        weights: (m,) weights of the last batch.
    """

    def __init__(self, modalities: int, settings: WeightSettings = WeightSettings()) -> None:
        self.settings = settings
        self.ratios = torch.full((modalities,), torch.nan)
        self.weights = torch.ones(modalities)

    def update(self, ratios: Float[Tensor, " m"]) -> Float[Tensor, " m"]:
        """Update the bank with the ratios of a batch (NaN for absent modalities), and return the weights."""
        momentum = self.settings.momentum
        averaged = momentum * self.ratios + (1 - momentum) * ratios
        self.ratios = torch.where(self.ratios.isnan(), ratios, torch.where(ratios.isnan(), self.ratios, averaged))
        current = torch.where(ratios.isnan(), self.ratios, ratios)
        weights = compute_branch_weights(current / (self.ratios.nanmean() + self.settings.sigma), self.settings)
        seen = ~self.ratios.isnan()
        if self.settings.mean_one and bool(seen.any()):
            weights = torch.where(seen, weights / weights[seen].mean(), weights)
        self.weights = weights
        return self.weights

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state for a checkpoint."""
        return {"ratios": self.ratios, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state from a checkpoint."""
        self.ratios, self.weights = state["ratios"].cpu().clone(), state["weights"].cpu().clone()
