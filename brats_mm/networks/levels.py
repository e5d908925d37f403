"""Other levels to mix at than logits: probabilities and features (SimMLM supplement, table A3)."""

import torch
from torch import Tensor, nn

from brats_mm.networks.expert import UNetExpert

PROBABILITY_EPS = 1e-6
"""Keeps the logit of a mixed probability finite: |logit| <= 13.8."""


class ProbabilityExpert(nn.Module):
    """An expert followed by the sigmoid, so that probabilities are mixed."""

    def __init__(self, expert: nn.Module) -> None:
        super().__init__()
        self.expert = expert

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.expert(x))


class LogitOfProbability(nn.Module):
    """Back from a mixed probability to its logit, so that every network answers in logits."""

    def __init__(self) -> None:
        super().__init__()
        self.eps = PROBABILITY_EPS

    def forward(self, probability: Tensor) -> Tensor:
        return torch.logit(probability, self.eps)


class FeatureExpert(nn.Module):
    """An expert up to its finest features; one head shared by all experts follows the mixture."""

    def __init__(self, expert: UNetExpert) -> None:
        super().__init__()
        self.expert = expert

    def forward(self, x: Tensor) -> Tensor:
        return self.expert.features(x)
