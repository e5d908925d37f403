"""Multiply-accumulate counts against hand-checked values."""

import torch
from torch import Tensor, nn

from brats_mm.experiments.comparison.evaluation import count_multiply_accumulates
from brats_mm.networks.dmome import DMoME
from brats_mm.networks.gating import UniformGate
from brats_mm.pipeline.network import count_parameters


def test_counts_convolution_and_linear_layer() -> None:
    """The convolution takes 27 * 2 * 3 per voxel on 4^3 voxels. The linear layer takes 3 * 5."""

    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv3d(2, 3, 3, padding=1, bias=False)
            self.linear = nn.Linear(3, 5)

        def forward(self, image: Tensor, available: Tensor) -> Tensor:
            made: Tensor = self.linear(self.conv(image).mean(dim=(2, 3, 4)))
            return made

    network = Small().eval().requires_grad_(False)
    assert count_multiply_accumulates(network, torch.zeros(1, 2, 4, 4, 4), [True, True]) == 27 * 6 * 64 + 15
    assert count_parameters(network) == 27 * 6 + 15 + 5


def test_missing_expert_costs_nothing() -> None:
    experts = {name: nn.Conv3d(1, 3, 1) for name in ("one", "two", "three")}
    network = DMoME(experts, UniformGate(modalities=3, outputs=3)).eval().requires_grad_(False)
    counted = count_multiply_accumulates(network, torch.zeros(1, 3, 4, 4, 4), [True, False, True])
    assert counted == 2 * 3 * 64
