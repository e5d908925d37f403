"""Pretrained experts of Food-101, loaded from local files only."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from brats_mm.errors import BundleError, OptionError, extract_first_line

HEADS = ("fc.", "AuxLogits.")
"""Layers of a trained Inception that output ImageNet's classes and are not loaded."""


class TextExpert(nn.Module):
    """A text encoder and a linear layer on its pooled output.

    Args:
        encoder: module that takes `input_ids` and `attention_mask` and returns a `pooler_output` (b, width), like BERT.
        width: width of the pooled output.
        classes: c, number of classes.

    Shapes:
        input (b, 2, t) integers, token numbers and mask. Output (b, c).
    """

    def __init__(self, encoder: nn.Module, *, width: int, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(width, classes)

    def forward(self, text: Tensor) -> Tensor:
        pooled = self.encoder(input_ids=text[:, 0], attention_mask=text[:, 1]).pooler_output
        logits: Tensor = self.head(self.dropout(pooled))
        return logits


def build_inception_expert(weights: Path | str | None, *, classes: int) -> nn.Module:
    """Return torchvision's Inception V3 with a new head, from ImageNet-normalised images (b, 3, 299, 299) to (b, c).

    The auxiliary head is omitted.

    Args:
        weights: state dict of `torchvision.models.inception_v3`. None or the word `none` starts from random weights.
        classes: c, number of classes.

    Raises:
        OptionError: torchvision is not installed.
        BundleError: the file is missing or holds other weights.
    """
    try:
        from torchvision.models import Inception3
    except (ImportError, RuntimeError) as error:  # RuntimeError if it was built for another torch
        raise OptionError(
            f"The expert for images is torchvision's Inception V3, which cannot be loaded "
            f"({extract_first_line(error)}). "
            'Install it: pip install "brats-mm[food101]".'
        ) from error
    network: nn.Module = Inception3(num_classes=classes, aux_logits=False, transform_input=True, init_weights=False)
    if weights is None or str(weights).lower() == "none":
        return network
    try:
        state: dict[str, Tensor] = torch.load(weights, map_location="cpu", weights_only=True)
        body = {name: value for name, value in state.items() if not name.startswith(HEADS)}
        missing = set(network.load_state_dict(body, strict=False).missing_keys)
        absent = [name for name in missing if not name.startswith(HEADS)]
    except Exception as error:  # torch raises a dozen types for a damaged file
        raise BundleError(
            f"{weights} does not contain weights of Inception V3 ({extract_first_line(error)}). Provide another file."
        ) from error
    if absent:
        raise BundleError(
            f"{weights} lacks {len(absent)} weights of Inception V3 (the first is {sorted(absent)[0]}). Provide "
            "another file."
        )
    return network


def build_bert_expert(folder: Path | str, *, classes: int) -> TextExpert:
    """Return BERT with a linear head, loaded from a folder written by `save_pretrained` (config.json and weights).

    Raises:
        OptionError: transformers is not installed.
        BundleError: the folder contains no BERT model.
    """
    transformers = import_transformers()
    try:
        encoder = transformers.BertModel.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # the library raises its own exception types and those of torch
        raise BundleError(
            f"{folder} contains no BERT model ({extract_first_line(error)}). Set --bert_folder to a local folder with "
            "config.json and weights."
        ) from error
    return TextExpert(encoder, width=int(encoder.config.hidden_size), classes=classes)


def import_transformers() -> Any:
    """Import the library transformers.

    Raises:
        OptionError: it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise OptionError(
            f'BERT needs transformers, which cannot be loaded ({error}). Run: pip install "brats-mm[food101]".'
        ) from error
    return transformers
