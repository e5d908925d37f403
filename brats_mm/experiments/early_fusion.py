"""Early fusion: one U-Net with all modalities as input channels, zero if missing.

The common baseline for missing modalities: the network compares modalities voxel by voxel from its first layer on, and
is trained with randomly zeroed channels ("modality dropout").
"""

import torch
from torch import Tensor

from brats_mm.networks.expert import UNetExpert
from brats_mm.networks.single import SingleNetwork


class EarlyFusionNetwork(SingleNetwork):
    """U-Net on all modalities.

    Args:
        unet: U-Net with one input channel per modality.
    """

    def __init__(self, unet: UNetExpert) -> None:
        super().__init__()
        self.unet = unet

    def predict_views(self, image: Tensor, views: Tensor) -> Tensor:
        # One view at a time, to limit memory.
        return torch.cat([self.unet(image.masked_fill(~view[:, :, None, None, None], 0.0)) for view in views])

    def logit_bias(self) -> torch.nn.Parameter:
        return self.unet.get_parameter(f"heads.{len(self.unet.heads) - 1}.bias")
