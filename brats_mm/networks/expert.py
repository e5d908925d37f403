"""The expert: a 3D U-Net that sees one modality and emits logits for the three tumour regions.

Source: SimMLM (Li, Chen, Han, ICCV 2025), section 3.1 and supplement, with the layout that nnU-Net plans for
BraTS 2018: six stages of two 3x3x3 convolutions, instance normalisation and leaky ReLU; stride 2 enters each stage
but the first; a transposed convolution goes back up; a 1x1x1 head stands on every decoder level.

Departures, both without effect on what the network can compute or on its parameter count:

* The released code's decoder uses transposed convolutions of kernel 3 and stride 1. Such a layer is an ordinary
  convolution with the kernel flipped and its two channel axes exchanged, so plain convolutions stand here: same
  parameters, same function class, about twice as fast on a CPU.
* The four lower heads answer only under deep supervision (`forward_levels`); `forward` uses the last one.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from brats_mm.networks.normed_activation import NormedActivation


class ConvBlock(nn.Module):
    """Two times convolution, instance normalisation and leaky ReLU; the first convolution carries the stride."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1)
        self.norm1 = NormedActivation(out_channels)
        self.conv2 = nn.Conv3d(out_channels, out_channels, kernel_size=3, padding=1)
        self.norm2 = NormedActivation(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(self.conv1(x))
        x = self.norm2(self.conv2(x))
        return x  # noqa: RET504 (a name gives the result its type)


class UpBlock(nn.Module):
    """One decoder level: upsample by two, put the encoder's features beside it, two convolutions."""

    def __init__(self, in_channels: int, skip_channels: int) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose3d(in_channels, skip_channels, kernel_size=2, stride=2)
        self.block = ConvBlock(2 * skip_channels, skip_channels, stride=1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        # A level with an odd side was rounded up when it was halved; what that added is cut off again.
        x = self.upsample(x)[:, :, : skip.shape[2], : skip.shape[3], : skip.shape[4]]
        x = torch.cat([x, skip], dim=1)
        x = self.block(x)
        return x  # noqa: RET504 (a name gives the result its type)


class UNetExpert(nn.Module):
    """A 3D U-Net from one modality to region logits.

    Args:
        widths: feature channels of each stage, finest first.
        in_channels: channels of the input, 1 for one modality.
        out_channels: number of regions, 3 for WT, TC, ET.

    Shapes:
        input (b, in_channels, h, w, d), output (b, out_channels, h, w, d); h, w and d are multiples of
        `stride`, 32 for the six stages of the paper, and not all three equal to it: the one voxel that would be left at
        the bottom cannot be normalised.
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
        """The finest decoder features, (b, widths[0], h, w, d)."""
        return self.decode(x)[-1]

    def decode(self, x: Tensor) -> list[Tensor]:
        """Features of each decoder level, coarsest first."""
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
        """Logits of each decoder level, finest first, for deep supervision; (b, c, h / 2^k, w / 2^k, d / 2^k)."""
        levels = [head(level) for head, level in zip(self.heads, self.decode(x), strict=True)]
        return levels[::-1]
