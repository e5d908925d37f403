"""Cross-sequence expert: one U-Net on all available modalities.

Enhancement is defined by comparing T1 with T1ce in the same voxel, which a mixture of single-modality experts cannot
do. This expert adds the comparison to the modality experts of SimMLM (section 3.1). It is not part of the paper.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from brats_mm.networks.expert import UNetExpert
from brats_mm.networks.mixing import detect_available, unsqueeze_to


class CrossSequenceExpert(UNetExpert):
    """U-Net on stacked modalities, conditioned on their availability.

    Missing channels are zero. Availability scales and shifts the features of every encoder stage after the first.
    Constant input channels would not work, because instance normalisation removes them.

    Args:
        widths: feature channels of each stage, finest first.
        modalities: m, input channels.
        out_channels: number of regions.

    Shapes:
        image (b, m, h, w, d), available (b, m) booleans, output (b, out_channels, h, w, d).
    """

    def __init__(self, widths: Sequence[int], *, modalities: int = 4, out_channels: int = 3) -> None:
        super().__init__(widths, in_channels=modalities, out_channels=out_channels)
        self.conditions = nn.ModuleList(nn.Linear(modalities, 2 * width) for width in widths[1:])
        for condition in self.conditions:
            nn.init.zeros_(condition.get_parameter("weight"))
            nn.init.zeros_(condition.get_parameter("bias"))

    def decode_available(self, image: Tensor, available: Tensor) -> list[Tensor]:
        """Return the features of each decoder level, coarsest first.

        Args:
            image: (b, m, h, w, d) z-scores, zero in missing channels.
            available: (b, m) booleans.
        """
        present = available.to(image.dtype)
        x = self.stem(image * unsqueeze_to(present, image.dim()))
        skips = [x]
        for block, condition in zip(self.down, self.conditions):  # noqa: B905 (TorchScript does not support strict)
            x = block(x)
            scale, shift = condition(present).to(x.dtype).chunk(2, dim=1)
            x = x * (1 + unsqueeze_to(scale, x.dim())) + unsqueeze_to(shift, x.dim())
            skips.append(x)
        levels: list[Tensor] = []
        position = len(skips) - 2
        for block in self.up:
            x = block(x, skips[position])
            levels.append(x)
            position -= 1
        return levels

    def forward(self, image: Tensor, available: Tensor | None = None) -> Tensor:
        """Return region logits. Without `available`, all-zero channels count as missing."""
        if available is None:
            available = detect_available(image)
        logits: Tensor = self.heads[-1](self.decode_available(image, available)[-1])
        return logits

    def forward_levels_available(self, image: Tensor, available: Tensor) -> list[Tensor]:
        """Return the logits of each decoder level, finest first, for deep supervision.

        Args:
            image: (b, m, h, w, d) z-scores, zero in missing channels.
            available: (b, m) booleans.

        Returns:
            Logits (b, out_channels, h / 2^k, w / 2^k, d / 2^k) of level k.
        """
        levels = self.decode_available(image, available)
        return [head(level) for head, level in zip(self.heads, levels, strict=True)][::-1]
