"""How much a network computes: multiply-accumulates and parameters."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def multiply_accumulates(network: nn.Module, image: Float[Tensor, "b m h w d"], available: Sequence[bool]) -> int:
    """Multiply-accumulates of convolutions, linear layers and attention for an image, counted while it runs.

    Normalisation, activations and the weighted sum are left out, as in the papers' figures, which call
    multiply-accumulates FLOPS.

    Args:
        network: a mixture or a whole network in evaluation mode; its gradients must be off.
        image: what it is given.
        available: which modalities are at hand, one a channel.
    """
    rows = torch.tensor([list(available)]).expand(image.shape[0], -1)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(image, rows)
    return int(counter.get_total_flops()) // 2


def parameters(network: nn.Module) -> int:
    """How many parameters a network has."""
    return sum(parameter.numel() for parameter in network.parameters())
