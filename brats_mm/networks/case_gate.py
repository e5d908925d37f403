"""A gate that looks at the whole case at low resolution, so that its weights do not depend on windows."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

THUMBNAIL = 16
"""Voxels a side of the image that the gate sees: the brain's box, averaged."""


def thumbnail(image: Tensor, side: int = THUMBNAIL) -> Tensor:
    """The image (b, m, h, w, d) of a brain's box, averaged to (b, m, 16, 16, 16).

    Inference and training both call it on the box of the whole brain, never on a window.
    """
    return F.adaptive_avg_pool3d(image, side)


class CaseGate(nn.Module):
    """Gate values of each expert and region from a case's thumbnail and its availability.

    Departure from SimMLM's gate (supplement, table A1), which sees a window: two small convolutions, their mean over
    space, and availability lead into one linear layer. The layer starts at zero weights, so that training begins with
    the same values for every case.

    Args:
        modalities: m, channels of the thumbnail.
        experts: e, how many experts are weighed.
        outputs: c, number of regions.
        width: feature channels.

    Shapes:
        small (b, m, 16, 16, 16), zero in missing channels; available (b, m) booleans; output (b, e, c), unbounded.
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
