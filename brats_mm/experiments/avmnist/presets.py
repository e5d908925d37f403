"""LeNet-5 (LeCun et al., 1998), the experts of SimMLM on avMNIST, and networks for the configs of `avmnist_simmlm`."""

from torch import Tensor, nn

from brats_mm.errors import check_choice
from brats_mm.networks.gating_parts import ImageEncoder, PartsGate
from brats_mm.networks.modality_mixture import ModalityMixture


class LeNet5(nn.Module):
    """Two 5x5 convolutions with pooling and three linear layers, from (b, 1, s, s) to logits (b, c).

    6 and 16 maps, 120 and 84 units, as in 1998, but with ReLU and max pooling instead of scaled tanh and subsampling.
    The paper does not state which variant it used.

    Args:
        side: s, image side in pixels: 28 for the images of avMNIST, 20 for its sounds.
        classes: c, number of classes.
    """

    def __init__(self, side: int, *, classes: int = 10) -> None:
        super().__init__()
        last = (side // 2 - 4) // 2
        self.features = nn.Sequential(
            *(nn.Conv2d(1, 6, kernel_size=5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 16, kernel_size=5), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
        )
        self.classifier = nn.Sequential(
            *(nn.Flatten(), nn.Linear(16 * last**2, 120), nn.ReLU(inplace=True)),
            *(nn.Linear(120, 84), nn.ReLU(inplace=True), nn.Linear(84, classes)),
        )

    def forward(self, picture: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(picture))
        return logits


SIDES = {"image": 28, "audio": 20}
"""Modalities of avMNIST in channel order, with the side of their images in pixels."""

DIGITS = 10


def expert(modality: str) -> LeNet5:
    """Return a LeNet-5 for images or sounds of digits."""
    check_choice("The modality", modality, SIDES)
    return LeNet5(SIDES[modality], classes=DIGITS)


def simmlm() -> ModalityMixture:
    """Return a mixture of two LeNets with a gate of two CNNs with 128 features each (SimMLM, supplement)."""
    branches = {modality: ImageEncoder() for modality in SIDES}
    gate = PartsGate(branches, features=128 * len(branches))
    return ModalityMixture({modality: expert(modality) for modality in SIDES}, gate)
