"""Sub-voxel expert: input and output have twice the resolution of the internal lattice.

Each 2x2x2 block of input voxels becomes eight channels of one lattice voxel (space to depth, "sub-pixel convolution",
Shi et al., CVPR 2016). Logits are interpolated back, and a second head adds the differences between the eight voxels of
a block. The cost is that of the coarse lattice.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brats_mm.networks.expert import UNetExpert

FACTOR = 2
"""Input voxels along a side of a lattice voxel."""


class SubvoxelExpert(nn.Module):
    """U-Net on a lattice with half the resolution of its input and output.

    Args:
        widths: feature channels of each stage, finest first.
        out_channels: c, number of regions.

    Shapes:
        input (b, 1, h, w, d), output (b, c, h, w, d), with even sides.
    """

    def __init__(self, widths: Sequence[int], *, out_channels: int = 3) -> None:
        super().__init__()
        self.unet = UNetExpert(widths, in_channels=FACTOR**3, out_channels=out_channels)
        self.detail = nn.Conv3d(widths[0], out_channels * FACTOR**3, kernel_size=1)
        nn.init.zeros_(self.detail.weight)
        nn.init.zeros_(self.detail.get_parameter("bias"))
        self.stride = FACTOR * self.unet.stride
        """Window sides should be multiples of this many voxels."""

    def compute_lattice_logits(self, x: Tensor) -> Tensor:
        """Return the output on the lattice, (b, 9c, h / 2, w / 2, d / 2): coarse logits, then the detail of each block.

        `refine` converts it to the output of `forward`. That step is linear, so a mixture of several experts can be
        refined once.
        """
        features = self.unet.features(space_to_depth(x))
        return torch.cat([self.unet.heads[-1](features), self.detail(features)], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.unet.features(space_to_depth(x))
        coarse = self.unet.heads[-1](features)
        smooth = F.interpolate(coarse.float(), scale_factor=2.0, mode="trilinear", align_corners=False)
        return smooth + depth_to_space(self.detail(features))


def space_to_depth(x: Tensor) -> Tensor:
    """Reshape (b, c, 2h, 2w, 2d) to (b, 8c, h, w, d). The eight voxels of a block become adjacent channels.

    Args:
        x: (b, c, 2h, 2w, 2d).
    """
    b, c, h, w, d = x.shape
    x = x.reshape(b, c, h // 2, 2, w // 2, 2, d // 2, 2)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, 8 * c, h // 2, w // 2, d // 2)


def depth_to_space(x: Tensor) -> Tensor:
    """Invert `space_to_depth`.

    Args:
        x: (b, 8c, h, w, d).

    Returns:
        Tensor (b, c, 2h, 2w, 2d).
    """
    b, c, h, w, d = x.shape
    x = x.reshape(b, c // 8, 2, 2, 2, h, w, d)
    return x.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, c // 8, 2 * h, 2 * w, 2 * d)


def refine(lattice: Tensor) -> Tensor:
    """Return logits at twice the resolution: interpolated coarse logits plus detail. Not differentiable.

    Writes each of the eight voxels of a block once, in half the time of an interpolation and a sum.

    Args:
        lattice: (b, 9c, h, w, d) from `SubvoxelExpert.compute_lattice_logits`.

    Returns:
        Tensor (b, c, 2h, 2w, 2d).
    """
    b, channels, h, w, d = lattice.shape
    c = channels // (FACTOR**3 + 1)
    detail = lattice[:, c:].view(b, c, FACTOR, FACTOR, FACTOR, h, w, d)
    logits = lattice.new_empty((b, c, FACTOR * h, FACTOR * w, FACTOR * d))
    blocks = logits.view(b, c, h, FACTOR, w, FACTOR, d, FACTOR)
    for i, along_h in enumerate(_interpolate_halves(lattice[:, :c], 2)):
        for j, along_w in enumerate(_interpolate_halves(along_h, 3)):
            for k, along_d in enumerate(_interpolate_halves(along_w, 4)):
                torch.add(along_d, detail[:, :, i, j, k], out=blocks[:, :, :, i, :, j, :, k])
    return logits


def _interpolate_halves(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Return the linear interpolation at the first and the second half of each voxel along an axis."""
    before = torch.cat([x.narrow(axis, 0, 1), x.narrow(axis, 0, x.shape[axis] - 1)], dim=axis)
    after = torch.cat([x.narrow(axis, 1, x.shape[axis] - 1), x.narrow(axis, x.shape[axis] - 1, 1)], dim=axis)
    return torch.lerp(x, before, 0.25), torch.lerp(x, after, 0.25)


def from_lattice_expert(expert: UNetExpert, widths: Sequence[int]) -> SubvoxelExpert:
    """Build a sub-voxel expert that is initially equivalent to a lattice expert on the mean of each block.

    The stem's weights are distributed over the eight voxels, and the detail head starts at zero.

    Args:
        expert: U-Net at half the resolution. Not modified.
        widths: feature channels of each stage, finest first.
    """
    converted = SubvoxelExpert(widths, out_channels=expert.heads[-1].get_parameter("bias").numel())
    state = dict(expert.state_dict())
    stem = state["stem.conv1.weight"]
    state["stem.conv1.weight"] = torch.cat([stem / FACTOR**3] * FACTOR**3, dim=1)
    converted.unet.load_state_dict(state)
    return converted
