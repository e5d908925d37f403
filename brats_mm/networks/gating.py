"""Gates: networks that weight the experts from all modalities.

A gate returns raw values (b, m, c). `mixing.compute_modality_weights` turns them into weights over the available
modalities.
Source: SimMLM section 3.1 and supplement, table A1.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from brats_mm.networks.normed_activation import instance_norm

GATE_GRID = 4
"""Side of the last feature map in voxels. Five strides of two reduce the paper's 128^3 window to 4^3."""

GATE_STAGES = 5


class GatingNetwork(nn.Module):
    """The paper's gate: five strided 3x3x3 convolutions, then one linear layer on 256 features for four modalities.

    In addition, the last map is pooled adaptively to 4^3. This is the identity for a 128^3 window and supports windows
    of other sizes.

    Args:
        modalities: m, input channels. Channels of missing modalities are zero.
        outputs: c, gate values per modality: one per region, or one for all.

    Shapes:
        input (b, m, h, w, d), output (b, m, c), unbounded.
    """

    def __init__(self, *, modalities: int, outputs: int) -> None:
        super().__init__()
        self.modalities = modalities
        self.outputs = outputs
        stages: list[nn.Module] = []
        for _ in range(GATE_STAGES):
            stages += [
                nn.Conv3d(modalities, modalities, kernel_size=3, stride=2, padding=1),
                instance_norm(modalities),
                nn.ReLU(inplace=True),
            ]
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool3d(GATE_GRID)
        self.linear = nn.Linear(modalities * GATE_GRID**3, modalities * outputs)

    def forward(self, image: Tensor) -> Tensor:
        pooled = self.pool(self.stages(image))
        values: Tensor = self.linear(pooled.flatten(1))
        return values.reshape(-1, self.modalities, self.outputs)


class UniformGate(nn.Module):
    """Gate values of zero, which average the available experts. It has no parameters.

    This is the "static mean" row of SimMLM's ablation (supplement, table A3).
    """

    def __init__(self, *, modalities: int, outputs: int) -> None:
        super().__init__()
        self.modalities = modalities
        self.outputs = outputs

    def forward(self, image: Tensor) -> Tensor:
        return image.new_zeros((image.shape[0], self.modalities, self.outputs))


COARSENING = 3
"""Number of strides of two: one gate value every 8 voxels, which is 16 mm at 2 mm spacing."""


class SpatialGate(nn.Module):
    """Gate values on a grid 8 times as coarse as the image, interpolated trilinearly. SimMLM uses one per window.

    Which sequence shows a lesion best depends on its location. Oedema beside the ventricles is hard to see in T2 and
    clear in FLAIR, and a rim enhances in T1ce only. A weight per voxel could follow noise, so the grid is coarse.
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
