"""Small network that segments the brain in any single MR sequence. Its weights are part of the package.

It sees voxels of 3 mm and was trained only on synthetic heads (`benchmarks/brain_extraction.py`): real skull-stripped
brains with generated skulls, faces and necks, in real and random contrasts. It relies on shape and context more than
on contrast, as SynthStrip does (Hoopes et al., NeuroImage 2022), but is far smaller.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from brats_mm.domain.volume import Array
from brats_mm.networks.normed_activation import instance_norm
from brats_mm.networks.subvoxel import depth_to_space, space_to_depth

SPACING_MM = 3.0
MULTIPLE = 8
"""Input sides are multiples of this."""
WEIGHTS = Path(__file__).with_name("brain_weights.npz")

_WIDTHS = (16, 24, 32)
_MAX_BRIGHTNESS = 4.0


class _Layer(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.norm = instance_norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.conv(x)), 0.1)


class BrainNetwork(nn.Module):
    """A 3D U-Net with 130,000 parameters, from one sequence to one logit for brain.

    Internally, eight voxels of 3 mm are channels of one voxel of 6 mm, which takes an eighth of the operations.
    """

    def __init__(self) -> None:
        super().__init__()
        first, *deeper = _WIDTHS
        self.first = _Layer(8, first)
        self.down = nn.ModuleList(
            nn.Sequential(_Layer(above, width, stride=2), _Layer(width, width))
            for above, width in zip(_WIDTHS, deeper, strict=False)
        )
        self.up = nn.ModuleList(
            _Layer(below + width, width) for below, width in zip(_WIDTHS[:0:-1], _WIDTHS[-2::-1], strict=True)
        )
        self.head = nn.Conv3d(first, 8, 3, padding=1)

    def forward(self, x: Float[Tensor, "b 1 h w d"]) -> Float[Tensor, "b 1 h w d"]:
        """Return logits. Sides must be multiples of `MULTIPLE`, and values must come from `normalise`."""
        skips = [self.first(space_to_depth(x))]
        for level in self.down:
            skips.append(level(skips[-1]))
        x = skips.pop()
        for level in self.up:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = level(torch.cat([x, skips.pop()], dim=1))
        return depth_to_space(torch.as_tensor(self.head(x)))


def normalise(image: Array) -> Array:
    """Scale an image so that voxels brighter than its mean, which are the head, have a mean of 1."""
    shifted = image - min(0.0, float(np.percentile(image, 0.5)))
    bright = shifted[shifted > shifted.mean()]
    scale = float(bright.mean()) if bright.size else 1.0
    return np.asarray(np.clip(shifted / np.float32(max(scale, 1e-6)), 0, _MAX_BRIGHTNESS), np.float32)


@lru_cache(maxsize=1)
def load_brain_network() -> BrainNetwork:
    """Return the network with the weights of the package, in evaluation mode."""
    network = BrainNetwork()
    with np.load(WEIGHTS, allow_pickle=False) as stored:
        network.load_state_dict({name: torch.from_numpy(stored[name].astype(np.float32)) for name in stored.files})
    return network.eval()


def store_brain_network(network: BrainNetwork, path: Path = WEIGHTS) -> None:
    """Write a network's weights in half precision."""
    np.savez_compressed(
        path, **{name: value.numpy().astype(np.float16) for name, value in network.state_dict().items()}
    )
