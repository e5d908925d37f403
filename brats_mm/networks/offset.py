"""Moving a trained mixture's logits by a constant a region, inside its own weights."""

from collections.abc import Sequence

import torch
from torch import nn

from brats_mm.errors import OptionError
from brats_mm.networks.cross_mixture import CrossSequenceMixture
from brats_mm.networks.dmome import DMoME
from brats_mm.networks.expert import UNetExpert
from brats_mm.networks.single import SingleNetwork
from brats_mm.networks.subvoxel import SubvoxelExpert


def subtract_from_logits(network: nn.Module, offsets: Sequence[float]) -> None:
    """Take `offsets` (c,) off the logits (b, c, ...) of a mixture, for every availability set, by its biases.

    The weights of the experts sum to 1, so a constant in the head of each expert is the same constant in the mixture; a
    mixture of features has one head for all.

    Args:
        network: a mixture of U-Net experts at the logit or feature level, or a whole network; changed in place.
        offsets: one a region.

    Raises:
        OptionError: the network has no such bias.
    """
    with torch.no_grad():
        for bias in _biases(network):
            bias.sub_(torch.as_tensor(offsets, dtype=bias.dtype, device=bias.device))


def _biases(network: nn.Module) -> list[nn.Parameter]:
    if isinstance(network, SingleNetwork):
        return [network.logit_bias()]
    if isinstance(network, CrossSequenceMixture):
        modality = [expert.unet for expert in network.experts.values() if isinstance(expert, SubvoxelExpert)]
        if len(modality) == len(network.experts):
            return [unet.heads[-1].get_parameter("bias") for unet in (*modality, network.cross)]
    if isinstance(network, DMoME):
        if isinstance(network.output_layer, nn.Conv3d):
            return [network.output_layer.get_parameter("bias")]
        experts = [expert for expert in network.experts.values() if isinstance(expert, UNetExpert)]
        if len(experts) == len(network.experts):
            return [expert.heads[-1].get_parameter("bias") for expert in experts]
    message = (
        "This network mixes neither logits nor features of U-Net experts, so its logits cannot be moved by its biases. "
        "Pack it without calibration."
    )
    raise OptionError(message)
