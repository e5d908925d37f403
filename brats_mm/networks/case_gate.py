"""Gate on a low-resolution view of the whole case, so that weights do not depend on windows."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

THUMBNAIL = 16
"""Side of the gate's input in voxels."""


def make_thumbnail(image: Tensor, side: int = THUMBNAIL) -> Tensor:
    """Average the brain's bounding box (b, m, h, w, d) to (b, m, side, side, side).

    Apply it to the whole brain, not to a window.

    Args:
        image: (b, m, h, w, d) z-scores of whole brains, zero outside.
        side: side of the result in voxels.

    Returns:
        Tensor (b, m, side, side, side).
    """
    return F.adaptive_avg_pool3d(image, side)


class CaseGate(nn.Module):
    """Gate values per expert and region, from a case's thumbnail and availability.

    SimMLM's gate (supplement, table A1) sees a window. Here, the features of two small convolutions are averaged over
    space, concatenated with availability, and passed to one linear layer. The layer starts at zero, so training begins
    with equal weights.

    Args:
        modalities: m, channels of the thumbnail.
        experts: e, number of experts.
        outputs: c, number of regions.
        width: feature channels.

    Shapes:
        small (b, m, 16, 16, 16), zero in missing channels. available (b, m) booleans. Output (b, e, c), unbounded.
    """

    def __init__(self, *, modalities: int = 4, experts: int = 5, outputs: int = 3, width: int = 16) -> None:
        super().__init__()
        self.experts = experts
        self.outputs = outputs
        self.stages = nn.Sequential(
            nn.Conv3d(modalities, width, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv3d(width, width, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.linear = nn.Linear(width + modalities, experts * outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, small: Tensor, available: Tensor) -> Tensor:
        features = self.stages(small).flatten(2).mean(dim=2)
        values: Tensor = self.linear(torch.cat([features, available.to(features.dtype)], dim=1))
        return values.reshape(-1, self.experts, self.outputs)
