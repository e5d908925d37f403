"""MMP: one encoder a modality, one decoder for all; a masked modality's features are projected from the others'.

Source: Nezakati et al., arXiv 2410.03010, which masks whole modalities in training and puts projected tokens in the
place of the masked ones, leaving the rest of the network as it is. It was never tried on volumes; the host is ours:

* Encoder (`networks.encoder`): the stages of the light expert (`networks.expert`), one encoder a modality, so that a
  modality has tokens of its own (the paper's need) and the comparison with the mixture is one of methods, not of
  encoders.
* At each scale the modalities' features stand beside each other and a 1x1x1 convolution brings them to the decoder's
  width: early enough that the decoder sees all modalities together. The decoder is twice as wide as an expert's, which
  makes parameters and operations about those of the mixture of four.
* Tokens are the voxels of the coarsest feature map. A missing modality's finer features (the skips) are zeros; with
  `projected_scales` above 1 the next finer scales are projected too, each by a projection of its own.
* The encoder of a missing modality is not run, at training as at test time, except to give the alignment its target.

`projected_scales=0` is the host alone, with zeros for what is missing: trained without masking it is the plain
baseline, with masking the baseline of modality dropout.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from brats_mm.networks.expert import UpBlock
from brats_mm.networks.mixing import split_views
from brats_mm.networks.single import SingleNetwork

Answer = tuple[Tensor, list[Tensor], list[Tensor], Tensor]
"""Logits (v b, c, h, w, d); projected and real features (v b, m, f, x, y, z) of each projected scale, coarsest first;
which modalities were masked though the sample has them, (v b, m) booleans."""


class Decoder(nn.Module):
    """Joins the modalities' features at each scale, and the way up to logits.

    Args:
        encoded: feature channels that come from all modalities together, by scale, finest first.
        widths: of the decoder, by scale, finest first.
        out_channels: of the logits.
    """

    def __init__(self, encoded: Sequence[int], widths: Sequence[int], *, out_channels: int) -> None:
        super().__init__()
        self.join = nn.ModuleList(nn.Conv3d(given, own, 1) for given, own in zip(encoded, widths, strict=True))
        self.up = nn.ModuleList(
            UpBlock(coarse, fine) for fine, coarse in zip(reversed(widths[:-1]), reversed(widths[1:]), strict=True)
        )
        self.head = nn.Conv3d(widths[0], out_channels, 1)

    def forward(self, scales: Sequence[Tensor]) -> Tensor:
        *skips, x = [join(scale) for join, scale in zip(self.join, scales, strict=True)]
        for block, skip in zip(self.up, reversed(skips), strict=True):
            x = block(x, skip)
        made: Tensor = self.head(x)
        return made


class MaskedProjectionNetwork(SingleNetwork):
    """Encoders, projections and the decoder.

    Args:
        encoders: modality name -> module from (b, 1, h, w, d) to features of every scale, finest first; the order is
            the channel order of the input.
        projections: of the coarsest scale and of as many finer ones as there are more; none puts zeros.
        decoder: from features of every scale, (b, m f, x, y, z), to logits.
    """

    def __init__(self, encoders: Mapping[str, nn.Module], projections: Sequence[nn.Module], decoder: nn.Module) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(encoders)
        self.projections = nn.ModuleList(projections)
        self.decoder = decoder

    def predict_views(self, image: Tensor, views: Tensor) -> Tensor:
        scales = self.encode(image, views.any(dim=0))
        return torch.cat([self._view(scales, view)[0] for view in views])  # one by one: 15 views are a lot of memory

    def logit_bias(self) -> nn.Parameter:
        return self.decoder.get_parameter("head.bias")

    def answer(self, image: Tensor, available: Tensor, present: Tensor) -> Answer:
        """Logits, and what the alignment compares.

        Args:
            image: (b, m, h, w, d); the channels of masked modalities hold their true voxels.
            available: (v b, m) booleans, at least one true a row: what is not masked.
            present: (v b, m) booleans: what the samples have; a modality that is present and not available is encoded
                for the alignment, but not shown to the decoder.
        """
        views = split_views(available, image.shape[0])
        scales = self.encode(image, split_views(available | present, image.shape[0]).any(dim=0))
        made = [self._view(scales, view) for view in views]
        depths = range(len(self.projections))
        projected = [torch.cat([features[depth] for _, features in made]) for depth in depths]
        real = [scales[-1 - depth].repeat(len(views), 1, 1, 1, 1, 1) for depth in depths]
        return torch.cat([logits for logits, _ in made]), projected, real, present & ~available

    def _view(self, scales: Sequence[Tensor], available: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits of one view, and the projected features of each projected scale."""
        shown = [hidden(scale, available) for scale in scales]
        projected: list[Tensor] = []
        for depth, projection in enumerate(self.projections, start=1):
            made = projected_map(projection, shown[-depth], available)
            projected.append(made)
            shown[-depth] = torch.where(available[:, :, None, None, None, None], shown[-depth], made)
        return self.decoder([scale.flatten(1, 2) for scale in shown]), projected

    def encode(self, image: Tensor, needed: Tensor) -> list[Tensor]:
        """Features (b, m, f, x, y, z) by scale: zeros where a sample does not need a modality, whose encoder rests."""
        found = []
        for channel, encoder in enumerate(self.encoders.values()):
            rows = torch.nonzero(needed[:, channel]).flatten()
            found.append(None if rows.numel() == 0 else (rows, encoder(image[rows, channel : channel + 1])))
        ran = next(scales for part in found if part is not None for scales in [part[1]])
        return [
            torch.stack([_whole(part, scale, len(image), like) for part in found], dim=1)
            for scale, like in enumerate(ran)
        ]


def _whole(part: tuple[Tensor, list[Tensor]] | None, scale: int, batch: int, like: Tensor) -> Tensor:
    """One modality's features at a scale for the whole batch."""
    zeros = like.new_zeros((batch, *like.shape[1:]))
    return zeros if part is None else zeros.index_add(0, part[0], part[1][scale])


def hidden(features: Tensor, available: Tensor) -> Tensor:
    """Features (b, m, f, x, y, z) with zeros for what is not available."""
    return features.masked_fill(~available[:, :, None, None, None, None], 0.0)


def projected_map(projection: nn.Module, features: Tensor, available: Tensor) -> Tensor:
    """A projection of feature maps (b, m, f, x, y, z), whose voxels are its tokens."""
    tokens = features.flatten(3).transpose(2, 3)  # (b m n f)
    made: Tensor = projection(tokens, available).to(features.dtype)
    return made.transpose(2, 3).reshape(features.shape)
