"""MMP: one encoder per modality and one shared decoder, with features of masked modalities projected from the others.

Source: Nezakati et al., arXiv 2410.03010. The paper masks whole modalities in training and replaces their tokens by
projected ones. It does not cover volumes, so the host network is designed here:

* Encoders (`networks.expert.Encoder`) are those of the light expert, one per modality. So a comparison with the mixture
  compares methods, not encoders.
* At each scale the modalities' features are concatenated, and a 1x1x1 convolution maps them to the decoder's width. The
  decoder is twice as wide as an expert's, which roughly matches the mixture's parameters and operations.
* Tokens are the voxels of the coarsest feature map. Finer features (skips) of a missing modality are zero. With
  `projected_scales` above 1, finer scales are projected too, each with its own projection.
* The encoder of a missing modality does not run, except as the alignment's target in training.

`projected_scales=0` is the host alone, with zeros for missing modalities: the plain baseline if trained without
masking, and the modality dropout baseline if trained with masking.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from brats_mm.networks.expert import UpBlock
from brats_mm.networks.mixing import split_views
from brats_mm.networks.single import SingleNetwork

Answer = tuple[Tensor, list[Tensor], list[Tensor], Tensor]
"""Logits (v b, c, h, w, d), projected and real features (v b, m, f, x, y, z) per projected scale, and the masked
modalities.

Scales run from coarse to fine. The masked modalities are those present but hidden, (v b, m) booleans.
"""


class Decoder(nn.Module):
    """Decoder on the concatenated features of all modalities.

    Args:
        encoded: input channels of all modalities together per scale, finest first.
        widths: the decoder's channels per scale, finest first.
        out_channels: number of regions.
    """

    def __init__(self, encoded: Sequence[int], widths: Sequence[int], *, out_channels: int) -> None:
        super().__init__()
        self.join = nn.ModuleList(
            nn.Conv3d(in_channels, width, 1) for in_channels, width in zip(encoded, widths, strict=True)
        )
        self.up = nn.ModuleList(
            UpBlock(coarse, fine) for fine, coarse in zip(reversed(widths[:-1]), reversed(widths[1:]), strict=True)
        )
        self.head = nn.Conv3d(widths[0], out_channels, 1)

    def forward(self, scales: Sequence[Tensor]) -> Tensor:
        *skips, x = [join(scale) for join, scale in zip(self.join, scales, strict=True)]
        for block, skip in zip(self.up, reversed(skips), strict=True):
            x = block(x, skip)
        logits: Tensor = self.head(x)
        return logits


class MaskedProjectionNetwork(SingleNetwork):
    """MMP network from encoders, projections and a decoder.

    Args:
        encoders: modality name -> module from (b, 1, h, w, d) to features of every scale, finest first, in the input's
            channel order.
        projections: one per projected scale, coarsest first. Scales without one use zeros.
        decoder: module from features of every scale, (b, m f, x, y, z), to logits.
    """

    def __init__(self, encoders: Mapping[str, nn.Module], projections: Sequence[nn.Module], decoder: nn.Module) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(encoders)
        self.projections = nn.ModuleList(projections)
        self.decoder = decoder

    def predict_views(self, image: Tensor, views: Tensor) -> Tensor:
        scales = self.encode(image, views.any(dim=0))
        return torch.cat([self._compute_view(scales, view)[0] for view in views])  # one view at a time, to limit memory

    def logit_bias(self) -> nn.Parameter:
        return self.decoder.get_parameter("head.bias")

    def answer(self, image: Tensor, available: Tensor, present: Tensor) -> Answer:
        """Return logits and the features that the alignment loss compares.

        Args:
            image: (b, m, h, w, d), with the true voxels of masked modalities.
            available: (v b, m) booleans, at least one true per row: the modalities that are not masked.
            present: (v b, m) booleans: the modalities of the samples. Masked but present modalities are encoded for the
                alignment but hidden from the decoder.
        """
        views = split_views(available, image.shape[0])
        scales = self.encode(image, split_views(available | present, image.shape[0]).any(dim=0))
        view_maps = [self._compute_view(scales, view) for view in views]
        depths = range(len(self.projections))
        projected = [torch.cat([features[depth] for _, features in view_maps]) for depth in depths]
        real = [scales[-1 - depth].repeat(len(views), 1, 1, 1, 1, 1) for depth in depths]
        return torch.cat([logits for logits, _ in view_maps]), projected, real, present & ~available

    def _compute_view(self, scales: Sequence[Tensor], available: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the logits of one view and the projected features of each projected scale."""
        masked = [hide_unavailable(scale, available) for scale in scales]
        projected: list[Tensor] = []
        for depth, projection in enumerate(self.projections, start=1):
            projection_map = project_map(projection, masked[-depth], available)
            projected.append(projection_map)
            masked[-depth] = torch.where(available[:, :, None, None, None, None], masked[-depth], projection_map)
        return self.decoder([scale.flatten(1, 2) for scale in masked]), projected

    def encode(self, image: Tensor, required: Tensor) -> list[Tensor]:
        """Return features (b, m, f, x, y, z) per scale, zero for modalities that a sample does not need."""
        encoded = []
        for channel, encoder in enumerate(self.encoders.values()):
            rows = torch.nonzero(required[:, channel]).flatten()
            encoded.append(None if rows.numel() == 0 else (rows, encoder(image[rows, channel : channel + 1])))
        first = next(scales for part in encoded if part is not None for scales in [part[1]])
        return [
            torch.stack([_expand_to_batch(part, scale, len(image), like) for part in encoded], dim=1)
            for scale, like in enumerate(first)
        ]


def _expand_to_batch(part: tuple[Tensor, list[Tensor]] | None, scale: int, batch: int, like: Tensor) -> Tensor:
    """Expand one modality's features at a scale to the whole batch."""
    zeros = like.new_zeros((batch, *like.shape[1:]))
    return zeros if part is None else zeros.index_add(0, part[0], part[1][scale])


def hide_unavailable(features: Tensor, available: Tensor) -> Tensor:
    """Zero the features (b, m, f, x, y, z) of unavailable modalities."""
    return features.masked_fill(~available[:, :, None, None, None, None], 0.0)


def project_map(projection: nn.Module, features: Tensor, available: Tensor) -> Tensor:
    """Project feature maps (b, m, f, x, y, z), using voxels as tokens."""
    tokens = features.flatten(3).transpose(2, 3)  # (b m n f)
    projected: Tensor = projection(tokens, available).to(features.dtype)
    return projected.transpose(2, 3).reshape(features.shape)
