"""Mixing at other levels than logits: probabilities and features (SimMLM supplement, table A3)."""

import torch
from torch import Tensor, nn

from brats_mm.networks.expert import UNetExpert

PROBABILITY_EPS = 1e-6
"""Clamps mixed probabilities, so that |logit| <= 13.8."""


class ProbabilityExpert(nn.Module):
    """Expert followed by a sigmoid, to mix probabilities."""

    def __init__(self, expert: nn.Module) -> None:
        super().__init__()
        self.expert = expert

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.expert(x))


class LogitOfProbability(nn.Module):
    """Output layer that converts mixed probabilities to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.eps = PROBABILITY_EPS

    def forward(self, probability: Tensor) -> Tensor:
        return torch.logit(probability, self.eps)


class FeatureExpert(nn.Module):
    """Expert without its head, to mix features. One head after the mixture is shared by all experts."""

    def __init__(self, expert: UNetExpert) -> None:
        super().__init__()
        self.expert = expert

    def forward(self, x: Tensor) -> Tensor:
        return self.expert.features(x)
