"""Networks for the configs of `avmnist_simmlm`."""

from brats_mm.experiments.avmnist.lenet import LeNet5
from brats_mm.experiments.classification.modalities import known_modality
from brats_mm.networks.gating_parts import ImageEncoder, PartsGate
from brats_mm.networks.modality_mixture import ModalityMixture

SIDES = {"image": 28, "audio": 20}
"""Modalities of avMNIST in their order, and pixels a side."""

DIGITS = 10


def expert(modality: str) -> LeNet5:
    """A LeNet-5 for pictures or sounds of digits."""
    return LeNet5(SIDES[known_modality(modality, tuple(SIDES))], classes=DIGITS)


def simmlm() -> ModalityMixture:
    """Two LeNets and the gate of two CNNs with 128 features each and 2x1 gate values (SimMLM, supplement)."""
    branches = {modality: ImageEncoder() for modality in SIDES}
    gate = PartsGate(branches, features=128 * len(branches))
    return ModalityMixture({modality: expert(modality) for modality in SIDES}, gate)
