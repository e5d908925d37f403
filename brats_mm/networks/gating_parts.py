"""Gate over modalities of different shapes: one encoder per modality and a shared head."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class PartsGate(nn.Module):
    """Concatenated features of one branch per modality, then a linear layer or a small MLP.

    SimMLM's gate for AV-MNIST has two `ImageEncoder` branches of 128 features and a linear layer from 256 to the 2x1
    gate values (supplement). Its gate for Food-101 is "an MLP" of unknown widths. Set `hidden` for such a gate.

    Args:
        branches: modality name -> module from its tensor to (b, features), in the order of the experts.
        features: total number of features of all branches.
        outputs: c, gate values per modality. 1 if all classes share a weight.
        hidden: units of the hidden layer. 0 for none.

    Shapes:
        input: one tensor per modality, zeros if missing. Output (b, m, c), unbounded.
    """

    def __init__(self, branches: Mapping[str, nn.Module], *, features: int, outputs: int = 1, hidden: int = 0) -> None:
        super().__init__()
        self.modalities = len(branches)
        self.outputs = outputs
        self.branches = nn.ModuleDict(branches)
        values = len(branches) * outputs
        self.values = (
            nn.Sequential(nn.Linear(features, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, values))
            if hidden
            else nn.Linear(features, values)
        )

    def forward(self, inputs: list[Tensor]) -> Tensor:
        features: list[Tensor] = []
        modality = 0
        for branch in self.branches.values():
            features.append(branch(inputs[modality]))
            modality += 1
        values: Tensor = self.values(torch.cat(features, dim=1))
        return values.reshape(-1, self.modalities, self.outputs)


class ImageEncoder(nn.Module):
    """Image encoder: two strided 3x3 convolutions, pooled to 2x2, 128 features (SimMLM, supplement: AV-MNIST).

    The supplement states the layers and the 128 features, but not strides, channels and pooling.

    Shapes:
        input (b, channels, h, w), output (b, 128).
    """

    def __init__(self, *, channels: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(channels, 16, kernel_size=3, stride=2, padding=1), nn.ReLU(inplace=True)),
            *(nn.Conv2d(16, 32, kernel_size=3, stride=2, padding=1), nn.ReLU(inplace=True)),
            *(nn.AdaptiveAvgPool2d(2), nn.Flatten()),
        )

    def forward(self, picture: Tensor) -> Tensor:
        features: Tensor = self.layers(picture)
        return features


class TextEncoder(nn.Module):
    """Text encoder: the mean of learned word vectors.

    Args:
        words: vocabulary size.
        features: features per vector.

    Shapes:
        input (b, 2, t) integers: token ids and a mask, 1 for words and 0 for padding. Output (b, features), zeros for a
        text without words.
    """

    def __init__(self, *, words: int, features: int = 64) -> None:
        super().__init__()
        self.vectors = nn.Embedding(words, features)

    def forward(self, text: Tensor) -> Tensor:
        mask = text[:, 1].unsqueeze(-1).to(self.vectors.weight.dtype)  # (b t 1)
        total = (self.vectors(text[:, 0]) * mask).sum(dim=1)  # (b features)
        mean: Tensor = total / mask.sum(dim=1).clamp(min=1.0)
        return mean
