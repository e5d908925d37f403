"""Gates: networks that look at every modality at once and say how much each expert should count.

A gate returns raw gate values, (b, m, c); `mixing.modality_weights` turns them into weights once it is known which
modalities are available. Source: SimMLM section 3.1 and supplement, table A1.
"""

from torch import Tensor, nn

from brats_mm.networks.normed_activation import instance_norm

GATE_GRID = 4
"""Voxels a side of the last feature map: five strides of two take the paper's 128^3 window to 4^3."""

GATE_STAGES = 5


class GatingNetwork(nn.Module):
    """The paper's gate: five strided 3x3x3 convolutions, then one linear layer on 256 features for four modalities.

    Departure: the last map is pooled adaptively to 4^3 before it is flattened. That is the identity for a 128^3
    window and lets windows of any other size through.

    Args:
        modalities: m, input channels; a missing modality's channel holds zeros.
        outputs: c, gate values for each modality: one a region, or one for all.

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
    """Every modality counts the same: gate values of zero, hence the mean of the available experts (no parameters).

    This is the "static mean" row of SimMLM's ablation (supplement, table A3).
    """

    def __init__(self, *, modalities: int, outputs: int) -> None:
        super().__init__()
        self.modalities = modalities
        self.outputs = outputs

    def forward(self, image: Tensor) -> Tensor:
        return image.new_zeros((image.shape[0], self.modalities, self.outputs))
