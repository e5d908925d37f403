"""Networks for the configs of `food101_simmlm`."""

from torch import nn

from brats_mm.errors import check_choice
from brats_mm.experiments.food101.pretrained import build_bert_expert, build_inception_expert
from brats_mm.networks.gating_parts import ImageEncoder, PartsGate, TextEncoder
from brats_mm.networks.modality_mixture import ModalityMixture

MODALITIES = ("image", "text")
"""Modalities of Food-101 in channel order."""

FOODS = 101

GATE_HIDDEN = 128
"""Hidden units of the gating MLP for Food-101. The paper does not state the width."""

WORD_FEATURES = 64


def expert(modality: str, *, inception_weights: str | None, bert_folder: str, classes: int = FOODS) -> nn.Module:
    """Return an Inception V3 for images or a BERT for titles.

    Args:
        modality: `image` or `text`.
        inception_weights: local state dict of torchvision's network. None starts from random weights.
        bert_folder: local folder of a BERT model.
        classes: number of classes.

    Raises:
        OptionError: the modality is unknown, or a library or file is missing.
    """
    check_choice("The modality", modality, MODALITIES)
    if modality == "image":
        return build_inception_expert(inception_weights, classes=classes)
    return build_bert_expert(bert_folder, classes=classes)


def simmlm(
    *, inception_weights: str | None, bert_folder: str, vocabulary: int = 30522, classes: int = FOODS
) -> ModalityMixture:
    """Return a mixture of Inception V3 and BERT with an MLP gate on 128 CNN features and the mean word vector.

    The gate sees the inputs, not the experts' features, so it can run before any expert.

    Args:
        inception_weights: see `expert`.
        bert_folder: see `expert`.
        vocabulary: size of BERT's vocabulary.
        classes: number of classes.
    """
    experts = {
        modality: expert(modality, inception_weights=inception_weights, bert_folder=bert_folder, classes=classes)
        for modality in MODALITIES
    }
    branches = {
        "image": ImageEncoder(channels=3),
        "text": TextEncoder(words=vocabulary, features=WORD_FEATURES),
    }
    gate = PartsGate(branches, features=128 + WORD_FEATURES, hidden=GATE_HIDDEN)
    return ModalityMixture(experts, gate)
