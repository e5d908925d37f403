"""Networks for the configs of `avmnist_simmlm`."""

from brats_mm.experiments.avmnist.lenet import LeNet5
from brats_mm.experiments.classification.modalities import known_modality
from brats_mm.networks.gating_parts import ImageEncoder, PartsGate
from brats_mm.networks.modality_mixture import ModalityMixture

SIDES = {"image": 28, "audio": 20}
"""Modalities of avMNIST in channel order, with the side of their images in pixels."""

DIGITS = 10


def expert(modality: str) -> LeNet5:
    """Return a LeNet-5 for images or sounds of digits."""
    return LeNet5(SIDES[known_modality(modality, tuple(SIDES))], classes=DIGITS)


def simmlm() -> ModalityMixture:
    """Return a mixture of two LeNets with a gate of two CNNs with 128 features each (SimMLM, supplement)."""
    branches = {modality: ImageEncoder() for modality in SIDES}
    gate = PartsGate(branches, features=128 * len(branches))
    return ModalityMixture({modality: expert(modality) for modality in SIDES}, gate)
