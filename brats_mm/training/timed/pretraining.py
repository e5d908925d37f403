"""Pretrain the cross-sequence expert by masked reconstruction, which needs no labels (UniME)."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brats_mm.networks.cross_sequence import CrossSequenceExpert


def masked_squared_error(predicted: Tensor, image: Tensor, hidden: Tensor) -> Tensor:
    """Return the mean squared error over the hidden voxels inside the brain. 0 if there is none.

    Background is exactly zero, and so are missing sequences. Neither counts.

    Args:
        predicted: predicted z-scores (b, m, h, w, d).
        image: z-scores of the same shape.
        hidden: booleans of the same shape.
    """
    counts = (hidden & (image != 0)).float()
    error = (predicted.float() - image.float()) ** 2
    return (error * counts).sum() / counts.sum().clamp(min=1)


BLOCK = 16
"""Side of a hidden cube in voxels."""

HIDDEN_SHARE = 0.5
"""Fraction of the cubes that are hidden, in each sequence separately."""

_PREFIX = "expert."


class Reconstruction(nn.Module):
    """A cross-sequence expert with a layer that predicts its input from the finest features.

    Args:
        expert: expert to pretrain in place.
        modalities: m, number of input channels.
    """

    def __init__(self, expert: CrossSequenceExpert, *, modalities: int = 4) -> None:
        super().__init__()
        self.expert = expert
        self.output = nn.Conv3d(expert.heads[-1].get_parameter("weight").shape[1], modalities, 1)

    def forward(self, image: Tensor, available: Tensor) -> Tensor:
        """Return predicted z-scores (b, m, h, w, d)."""
        predicted: Tensor = self.output(self.expert.decode_available(image, available)[-1])
        return predicted


def choose_hidden_blocks(
    draws: Tensor, shape: tuple[int, ...], *, block: int = BLOCK, share: float = HIDDEN_SHARE
) -> Tensor:
    """Return booleans (b, m, *shape), true in the cubes that are hidden.

    Args:
        draws: (b, m, i, j, k) uniform numbers from 0 to 1, at least one for each cube. Cubes below `share` are hidden.
        shape: spatial shape (h, w, d) of the image.
        block: side of a cube in voxels.
        share: fraction of the cubes to hide.
    """
    h, w, d = shape
    cubes = (draws < share).float()
    return F.interpolate(cubes, scale_factor=float(block), mode="nearest")[:, :, :h, :w, :d] > 0


def run_reconstruction_step(network: nn.Module, image: Tensor, target: Tensor, available: Tensor) -> Tensor:
    """Return the loss of a batch: the squared error of the hidden voxels.

    A sequence outside the drawn subset is hidden completely and predicted from the others. Cubes are hidden in the
    remaining sequences.

    Args:
        network: a `Reconstruction`.
        image: z-scores (b, m, h, w, d) of all sequences of the cases.
        target: not used.
        available: (b, m) booleans, the subset to show.
    """
    cubes = [-(-side // BLOCK) for side in image.shape[2:]]
    draws = torch.rand(*image.shape[:2], *cubes, device=image.device)
    hidden = choose_hidden_blocks(draws, tuple(image.shape[2:])) | ~available[:, :, None, None, None]
    return masked_squared_error(network(image.masked_fill(hidden, 0.0), available), image, hidden)


def extract_expert_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the expert's weights from the state of a `Reconstruction`."""
    return {name.removeprefix(_PREFIX): value for name, value in state.items() if name.startswith(_PREFIX)}
