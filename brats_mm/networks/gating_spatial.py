"""Spatial gate: weights that vary over space. SimMLM uses one weight per window.

Which sequence shows a lesion best depends on its location. Oedema beside the ventricles is hard to see in T2 and clear
in FLAIR, and a rim enhances in T1ce only. A weight per voxel could follow noise, so gate values are computed on a
coarse grid and interpolated.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from brats_mm.networks.normed_activation import instance_norm

COARSENING = 3
"""Number of strides of two: one gate value every 8 voxels, which is 16 mm at 2 mm spacing."""


class SpatialGate(nn.Module):
    """Gate values on a grid 8 times as coarse as the image, interpolated trilinearly.

    Values are interpolated before the softmax, so weights sum to 1 over the available modalities in every voxel. The
    last convolution starts at zero, so that training begins with the mean of the available experts.

    Args:
        modalities: m, input channels. Channels of missing modalities are zero.
        outputs: c, gate values per modality: one per region, or one for all.
        width: feature channels.

    Shapes:
        input (b, m, h, w, d), output (b, m, c, h, w, d), unbounded.
    """

    def __init__(self, *, modalities: int, outputs: int, width: int = 16) -> None:
        super().__init__()
        self.modalities = modalities
        self.outputs = outputs
        stages: list[nn.Module] = []
        channels = modalities
        for _ in range(COARSENING):
            stages += [
                nn.Conv3d(channels, width, kernel_size=3, stride=2, padding=1),
                instance_norm(width),
                nn.ReLU(inplace=True),
            ]
            channels = width
        self.stages = nn.Sequential(*stages)
        self.head = nn.Conv3d(width, modalities * outputs, kernel_size=3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.get_parameter("bias"))

    def forward(self, image: Tensor) -> Tensor:
        coarse = self.head(self.stages(image))
        fine = F.interpolate(coarse, size=list(image.shape[2:]), mode="trilinear", align_corners=False)
        return fine.reshape([-1, self.modalities, self.outputs] + list(image.shape[2:]))  # noqa: RUF005 (TorchScript)
