"""Early fusion: one U-Net that sees all modalities as the channels of its input, with zeros for what is missing.

No paper's method but the field's habit, and what a method for missing modalities has to beat: a network that can
compare modalities voxel by voxel from its first layer on, and has learnt to live with empty channels because some were
emptied at random in training ("modality dropout").
"""

import torch
from torch import Tensor

from brats_mm.networks.expert import UNetExpert
from brats_mm.networks.single import SingleNetwork


class EarlyFusionNetwork(SingleNetwork):
    """A U-Net on all modalities at once.

    Args:
        unet: with one input channel a modality.
    """

    def __init__(self, unet: UNetExpert) -> None:
        super().__init__()
        self.unet = unet

    def predict_views(self, image: Tensor, views: Tensor) -> Tensor:
        # One by one: 15 views at once are a lot of memory.
        return torch.cat([self.unet(image.masked_fill(~view[:, :, None, None, None], 0.0)) for view in views])

    def logit_bias(self) -> torch.nn.Parameter:
        return self.unet.get_parameter(f"heads.{len(self.unet.heads) - 1}.bias")
