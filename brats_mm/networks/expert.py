"""Modality expert: a 3D U-Net from one modality to logits of the three tumour regions.

Source: SimMLM (Li, Chen, Han, ICCV 2025), section 3.1 and supplement, with nnU-Net's plan for BraTS 2018. Six stages of
two 3x3x3 convolutions with instance normalisation and leaky ReLU, stride 2 from the second stage on, transposed
convolutions in the decoder and a 1x1x1 head on every decoder level.

Two differences do not change the function class or the number of parameters:

* The released decoder uses transposed convolutions of kernel 3 and stride 1. They equal plain convolutions with the
  kernel flipped and its channel axes swapped. This module uses plain ones, which are about twice as fast on a CPU.
* The four lower heads are used only for deep supervision (`forward_levels`). `forward` uses the last head.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from brats_mm.networks.normed_activation import NormedActivation


class ConvBlock(nn.Module):
    """Two blocks of convolution, instance normalisation and leaky ReLU. The first convolution has the stride."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1)
        self.norm1 = NormedActivation(out_channels)
        self.conv2 = nn.Conv3d(out_channels, out_channels, kernel_size=3, padding=1)
        self.norm2 = NormedActivation(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(self.conv1(x))
        x = self.norm2(self.conv2(x))
        return x  # noqa: RET504 (the variable annotates the type)


class UpBlock(nn.Module):
    """Decoder level: upsample by two, concatenate the encoder's features, apply two convolutions."""

    def __init__(self, in_channels: int, skip_channels: int) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose3d(in_channels, skip_channels, kernel_size=2, stride=2)
        self.block = ConvBlock(2 * skip_channels, skip_channels, stride=1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        # Strided convolutions round odd sides up. Crop the excess voxel.
        x = self.upsample(x)[:, :, : skip.shape[2], : skip.shape[3], : skip.shape[4]]
        x = torch.cat([x, skip], dim=1)
        x = self.block(x)
        return x  # noqa: RET504 (the variable annotates the type)


class UNetExpert(nn.Module):
    """3D U-Net from one modality to region logits.

    Args:
        widths: feature channels of each stage, finest first.
        in_channels: input channels, 1 for one modality.
        out_channels: number of regions, 3 for WT, TC, ET.

    Shapes:
        input (b, in_channels, h, w, d), output (b, out_channels, h, w, d). The sides h, w and d are multiples of
        `stride`, 32 for the six stages of the paper. At least one must be larger, because a single voxel at the bottom
        cannot be normalised.
    """

    def __init__(self, widths: Sequence[int], *, in_channels: int = 1, out_channels: int = 3) -> None:
        super().__init__()
        self.stride = 2 ** (len(widths) - 1)
        """Window sides must be multiples of this many voxels."""
        self.stem = ConvBlock(in_channels, widths[0], stride=1)
        self.down = nn.ModuleList(ConvBlock(fine, coarse, stride=2) for fine, coarse in itertools.pairwise(widths))
        self.up = nn.ModuleList(
            UpBlock(coarse, fine) for fine, coarse in zip(reversed(widths[:-1]), reversed(widths[1:]), strict=True)
        )
        self.heads = nn.ModuleList(nn.Conv3d(fine, out_channels, kernel_size=1) for fine in reversed(widths[:-1]))

    def features(self, x: Tensor) -> Tensor:
        """Return the finest decoder features (b, widths[0], h, w, d).

        Args:
            x: (b, in_channels, h, w, d), sides multiples of `stride`.
        """
        return self.decode(x)[-1]

    def decode(self, x: Tensor) -> list[Tensor]:
        """Return the features of each decoder level, coarsest first.

        Args:
            x: (b, in_channels, h, w, d), sides multiples of `stride`.
        """
        x = self.stem(x)
        skips = [x]
        for block in self.down:
            x = block(x)
            skips.append(x)
        levels: list[Tensor] = []
        position = len(skips) - 2
        for block in self.up:
            x = block(x, skips[position])
            levels.append(x)
            position -= 1
        return levels

    def forward(self, x: Tensor) -> Tensor:
        x = self.heads[-1](self.features(x))
        return x  # noqa: RET504

    def forward_levels(self, x: Tensor) -> list[Tensor]:
        """Return the logits (b, c, h / 2^k, w / 2^k, d / 2^k) of each level, finest first, for deep supervision.

        Args:
            x: (b, in_channels, h, w, d), sides multiples of `stride`.
        """
        levels = [head(level) for head, level in zip(self.heads, self.decode(x), strict=True)]
        return levels[::-1]


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
