"""MoMKE: every expert runs on every available modality, and a router per modality mixes their features.

Source: MoMKE (Xu et al.) as re-implemented by SimMLM's authors on their experts:

    r_i = softmax over experts of router_i(x_i)             one router per modality, on that modality alone
    z_i = sum_m r_i[m] features_m(x_i)                      all M experts run on each available modality i
    logits = head([z_1, ..., z_M])                          z_i = 0 for a missing modality; a 1x1x1 convolution

With n of M modalities this takes n M expert passes, against n in SimMLM: 16 against 4 with all four sequences. Training
keeps the decoder features of all passes in memory. z_i does not depend on other modalities, so several availability
sets of one image share it.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from brats_mm.networks.single import SingleNetwork


class MoMKE(SingleNetwork):
    """MoMKE from experts, routers and a head.

    Args:
        experts: modality name -> module from (b, 1, ...) to features (b, f, ...), in channel order.
        routers: modality name -> module from (b, 1, ...) to one unbounded value per expert, (b, 1, m).
        head: module from (b, m f, ...) to logits (b, c, ...).
    """

    def __init__(self, experts: Mapping[str, nn.Module], routers: Mapping[str, nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.experts = nn.ModuleDict(experts)
        self.routers = nn.ModuleDict(routers)
        self.head = head

    def predict_views(self, image: Tensor, views: Tensor) -> Tensor:
        required = views.any(dim=0)
        mixed = [self._mix_required(name, image, channel, required) for channel, name in enumerate(self.routers)]
        zeros = torch.zeros_like(next(values for values in mixed if values is not None))
        features = torch.stack([zeros if values is None else values for values in mixed], dim=1)  # (b m f ...)
        return torch.cat(
            [self.head(features.masked_fill(~view[:, :, None, None, None, None], 0.0).flatten(1, 2)) for view in views]
        )

    def logit_bias(self) -> nn.Parameter:
        return self.head.get_parameter("bias")

    def mix_features(self, name: str, image: Tensor) -> Tensor:
        """Return z of one modality: (b, 1, ...) voxels to (b, f, ...) features."""
        shares = torch.softmax(self.routers[name](image).flatten(1).float(), dim=1)  # (b m)
        mixed = torch.zeros(0)
        for index, expert in enumerate(self.experts.values()):
            features = expert(image)
            weighed = shares[:, index][:, None, None, None, None].to(features.dtype) * features
            mixed = weighed if index == 0 else mixed + weighed
        return mixed

    def _mix_required(self, name: str, image: Tensor, channel: int, required: Tensor) -> Tensor | None:
        """Return `mix_features` of the samples that need it and zeros for others, or None if none needs it."""
        rows = torch.nonzero(required[:, channel]).flatten()
        if rows.numel() == 0:
            return None
        features = self.mix_features(name, image[rows, channel : channel + 1])
        return features.new_zeros((len(image), *features.shape[1:])).index_add(0, rows, features)
