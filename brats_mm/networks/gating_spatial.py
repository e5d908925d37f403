"""A gate whose weights vary over space: an experiment beyond SimMLM, whose weights are one a window.

Where a lesion lies decides which sequence shows it best: oedema beside the ventricles hides in T2 and stands out in
FLAIR, a rim enhances in T1ce alone. One weight a window cannot say so; a weight a voxel could follow noise. So the
values are made on a coarse grid and interpolated.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from brats_mm.networks.normed_activation import instance_norm

COARSENING = 3
"""Strides of two before the gate answers: a value every 8 voxels, 16 mm at our working resolution."""


class SpatialGate(nn.Module):
    """Gate values on a grid 8 times as coarse as the image, interpolated trilinearly to the image's own.

    It is the values before the softmax that are interpolated, so weights sum to 1 over the available modalities in
    every voxel, and the only one available has exactly 1 everywhere: its expert's own output. The last convolution
    starts at zero, so that training begins from the mean of the available experts.

    Args:
        modalities: m, input channels; a missing modality's channel holds zeros.
        outputs: c, gate values for each modality: one a region, or one for all.
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
