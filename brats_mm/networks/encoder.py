"""Encoder of an expert, for networks with one decoder for several encoders."""

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from brats_mm.networks.expert import ConvBlock


class Encoder(nn.Module):
    """Encoder of an expert. Returns the features of every scale, finest first.

    Args:
        widths: feature channels of each stage, finest first.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.stem = ConvBlock(1, widths[0], stride=1)
        self.down = nn.ModuleList(ConvBlock(fine, coarse, stride=2) for fine, coarse in itertools.pairwise(widths))

    def forward(self, x: Tensor) -> list[Tensor]:
        scales = [self.stem(x)]
        for block in self.down:
            scales.append(block(scales[-1]))
        return scales
