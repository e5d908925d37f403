"""Subtract a constant per region from a trained mixture's logits, by changing its biases."""

from collections.abc import Sequence

import torch
from torch import nn

from brats_mm.errors import OptionError
from brats_mm.networks.cross_mixture import CrossSequenceMixture
from brats_mm.networks.dmome import DMoME
from brats_mm.networks.expert import UNetExpert
from brats_mm.networks.single import SingleNetwork
from brats_mm.networks.split_cross_sequence import SplitCrossSequenceExpert
from brats_mm.networks.subvoxel import SubvoxelExpert


def subtract_from_logits(network: nn.Module, offsets: Sequence[float]) -> None:
    """Subtract `offsets` (c,) from the logits (b, c, ...) of a network, for every availability set.

    Gate weights sum to 1, so the same constant in every expert's head shifts the mixture by that constant. A mixture of
    features has one shared head.

    Args:
        network: mixture of U-Net experts at the logit or feature level, or a single network. Modified in place.
        offsets: one per region.

    Raises:
        OptionError: the network has no such bias.
    """
    with torch.no_grad():
        for bias in _find_biases(network):
            bias.sub_(torch.as_tensor(offsets, dtype=bias.dtype, device=bias.device))


def _find_biases(network: nn.Module) -> list[nn.Parameter]:
    if isinstance(network, SingleNetwork):
        return [network.logit_bias()]
    if isinstance(network, CrossSequenceMixture):
        modality = [expert.unet for expert in network.experts.values() if isinstance(expert, SubvoxelExpert)]
        if len(modality) == len(network.experts):
            cross = network.cross
            joint = [cross.t1ce_combined, cross.others] if isinstance(cross, SplitCrossSequenceExpert) else [cross]
            return [unet.heads[-1].get_parameter("bias") for unet in (*modality, *joint)]
    if isinstance(network, DMoME):
        if isinstance(network.output_layer, nn.Conv3d):
            return [network.output_layer.get_parameter("bias")]
        experts = [expert for expert in network.experts.values() if isinstance(expert, UNetExpert)]
        if len(experts) == len(network.experts):
            return [expert.heads[-1].get_parameter("bias") for expert in experts]
    raise OptionError(
        "This network mixes neither logits nor features of U-Net experts, so its biases cannot offset its logits. "
        "Create the bundle without calibration."
    )
