"""Named networks of SimMLM's classification tasks: what the configs of `avmnist_simmlm` and `food101_simmlm` call."""

from torch import nn

from brats_mm.errors import OptionError
from brats_mm.experiments.avmnist.lenet import LeNet5
from brats_mm.experiments.food101.pretrained import bert_expert, inception_expert
from brats_mm.networks.gating_parts import PartsGate, PictureFeatures, WordFeatures
from brats_mm.networks.modality_mixture import ModalityMixture

AVMNIST_SIDES = {"image": 28, "audio": 20}
"""Modalities of avMNIST in their order, and pixels a side."""

DIGITS = 10

FOOD101 = ("image", "text")
"""Modalities of Food-101 in their order."""

FOODS = 101

FOOD_GATE_HIDDEN = 128
"""Units of the MLP that gates Food-101; the paper's widths are not known."""

FOOD_WORD_FEATURES = 64


def avmnist_expert(modality: str) -> LeNet5:
    """A LeNet-5 for pictures or sounds of digits."""
    return LeNet5(AVMNIST_SIDES[_known(modality, tuple(AVMNIST_SIDES))], classes=DIGITS)


def avmnist_simmlm() -> ModalityMixture:
    """Two LeNets and the gate of two CNNs with 128 features each and 2x1 gate values (SimMLM, supplement)."""
    branches = {modality: PictureFeatures() for modality in AVMNIST_SIDES}
    gate = PartsGate(branches, features=128 * len(branches))
    return ModalityMixture({modality: avmnist_expert(modality) for modality in AVMNIST_SIDES}, gate)


def food101_expert(
    modality: str, *, inception_weights: str | None, bert_folder: str, classes: int = FOODS
) -> nn.Module:
    """Inception V3 for pictures or BERT for titles.

    Args:
        modality: `image` or `text`.
        inception_weights: local state dict of torchvision's network; None starts from fresh weights.
        bert_folder: local folder of a BERT model.
        classes: of food.

    Raises:
        OptionError: there is no such modality, or a library or file is absent.
    """
    if _known(modality, FOOD101) == "image":
        return inception_expert(inception_weights, classes=classes)
    return bert_expert(bert_folder, classes=classes)


def food101_simmlm(
    *, inception_weights: str | None, bert_folder: str, vocabulary: int = 30522, classes: int = FOODS
) -> ModalityMixture:
    """Inception V3, BERT and an MLP gate on a small look at either: a CNN's 128 features, and the mean of word vectors.

    The gate sees the inputs and not the experts' features, so that it can be asked before any expert runs.

    Args:
        inception_weights: see `food101_expert`.
        bert_folder: see `food101_expert`.
        vocabulary: words of BERT's vocabulary.
        classes: of food.
    """
    experts = {
        modality: food101_expert(
            modality, inception_weights=inception_weights, bert_folder=bert_folder, classes=classes
        )
        for modality in FOOD101
    }
    branches = {
        "image": PictureFeatures(channels=3),
        "text": WordFeatures(words=vocabulary, features=FOOD_WORD_FEATURES),
    }
    gate = PartsGate(branches, features=128 + FOOD_WORD_FEATURES, hidden=FOOD_GATE_HIDDEN)
    return ModalityMixture(experts, gate)


def _known(modality: str, modalities: tuple[str, ...]) -> str:
    if modality not in modalities:
        message = f"The modality is {modality!r}; it must be one of {', '.join(modalities)}."
        raise OptionError(message)
    return modality
