"""Gates over modalities of different shapes: a small network for each, and a common layer on all their features."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class PartsGate(nn.Module):
    """Features of each modality by a branch of its own, side by side, then one linear layer or a small MLP.

    SimMLM's gate of avMNIST: two branches `PictureFeatures` of 128 features, and a linear layer from 256 to the 2x1
    gate values (supplement). Its gate of Food-101 is "an MLP" of unknown widths; with `hidden` it is one here.

    Args:
        branches: modality name -> module from its tensor to (b, features); in the order of the experts.
        features: what all branches give together.
        outputs: c, gate values for each modality; 1 where all classes share a weight.
        hidden: units of a hidden layer; 0 is none.

    Shapes:
        input: one tensor a modality, zeros where it is missing; output (b, m, c), unbounded.
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


class PictureFeatures(nn.Module):
    """A CNN of two strided 3x3 convolutions, pooled to 2x2: 128 features of 32 maps (SimMLM, supplement: avMNIST).

    The supplement gives the layers and the 128; strides, maps and pooling are ours.

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


class WordFeatures(nn.Module):
    """The mean of learnt word vectors over the words of a text.

    Args:
        words: size of the vocabulary.
        features: of a vector.

    Shapes:
        input (b, 2, t) integers: token numbers, and a mask that is 1 for words and 0 for padding; output (b, features),
        zeros for a text without words.
    """

    def __init__(self, *, words: int, features: int = 64) -> None:
        super().__init__()
        self.vectors = nn.Embedding(words, features)

    def forward(self, text: Tensor) -> Tensor:
        mask = text[:, 1].unsqueeze(-1).to(self.vectors.weight.dtype)  # (b t 1)
        total = (self.vectors(text[:, 0]) * mask).sum(dim=1)  # (b features)
        mean: Tensor = total / mask.sum(dim=1).clamp(min=1.0)
        return mean
