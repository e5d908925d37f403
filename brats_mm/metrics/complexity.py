"""Computational cost of a network: multiply-accumulates and parameters."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def multiply_accumulates(network: nn.Module, image: Float[Tensor, "b m h w d"], available: Sequence[bool]) -> int:
    """Count the multiply-accumulates of one forward pass.

    Covers convolutions, linear layers and attention. Normalisation, activations and the weighted sum are excluded, as
    in the papers, which call multiply-accumulates FLOPS.

    Args:
        network: network in evaluation mode.
        image: input.
        available: availability of each channel's modality.
    """
    rows = torch.tensor([list(available)]).expand(image.shape[0], -1)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(image, rows)
    return int(counter.get_total_flops()) // 2


def parameters(network: nn.Module) -> int:
    """Count a network's parameters.

    Args:
        network: any module. Frozen parameters count too.
    """
    return sum(parameter.numel() for parameter in network.parameters())
