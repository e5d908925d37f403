"""Correcting a trained network's logits, a region at a time, inside its own weights."""

from collections.abc import Sequence

import torch
from torch import nn

from brats_mm.errors import OptionError
from brats_mm.networks.dmome import DMoME
from brats_mm.networks.expert import UNetExpert
from brats_mm.networks.whole import WholeNetwork


def correct_logits(network: nn.Module, offsets: Sequence[float], temperatures: Sequence[float]) -> None:
    """Make logits (b, c, ...) `(logit - offset) / temperature` for every availability set, by their own layers.

    The weights of the experts sum to 1, so what is linear in the head of each expert is the same in the mixture; a
    mixture of features has one head for all.

    Args:
        network: a mixture of U-Net experts at the logit or feature level, or a whole network; changed in place.
        offsets: one a region.
        temperatures: one a region, above 0.

    Raises:
        OptionError: the network has no such layers.
    """
    with torch.no_grad():
        for layer in _logit_layers(network):
            bias, weight = layer.get_parameter("bias"), layer.weight
            scale = torch.as_tensor(temperatures, dtype=bias.dtype, device=bias.device)
            bias.sub_(torch.as_tensor(offsets, dtype=bias.dtype, device=bias.device)).div_(scale)
            weight.div_(scale[:, None, None, None, None])


def _logit_layers(network: nn.Module) -> list[nn.Conv3d]:
    if isinstance(network, WholeNetwork):
        return [network.logit_layer()]
    if isinstance(network, DMoME):
        if isinstance(network.finish, nn.Conv3d):
            return [network.finish]
        experts = [expert for expert in network.experts.values() if isinstance(expert, UNetExpert)]
        heads = [expert.heads[-1] for expert in experts]
        if len(experts) == len(network.experts):
            return [head for head in heads if isinstance(head, nn.Conv3d)]
    message = (
        "This network mixes neither logits nor features of U-Net experts, so its logits cannot be corrected in its "
        "weights. Pack it without calibration."
    )
    raise OptionError(message)
