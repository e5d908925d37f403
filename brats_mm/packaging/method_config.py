"""A method of training as config files over the bundle's own: what they make of the network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brats_mm.errors import BundleError, OptionError, first_line
from brats_mm.io.bundle import Bundle
from brats_mm.pipeline.network import inference_config

METHODS = "configs/methods"


@dataclass(frozen=True)
class TrainedAs:
    """What a bundle must say of itself when it was trained with configs over the template's.

    Attributes:
        inference: content of its `configs/inference.json`: the template's, with the network and the voxel size that the
            training had.
        described: `name` and `description` for its metadata, where a config has them under `method`.
    """

    inference: dict[str, Any]
    described: dict[str, str]


def trained_as(template: Bundle, configs: Sequence[Path]) -> TrainedAs:
    """What `train.json` of the template becomes under further configs, as far as inference is concerned.

    Raises:
        OptionError: a config cannot be read.
        BundleError: the template's cannot.
    """
    inference = inference_config(template)
    if not configs:
        return TrainedAs(inference, {})
    merged = merged_config(template, configs)
    for key in ("network_def", "spacing_mm"):
        inference[key] = merged[key]
    return TrainedAs(inference, {key: str(value) for key, value in merged.get("method", {}).items()})


def merged_config(template: Bundle, configs: Sequence[Path]) -> dict[str, Any]:
    """`train.json` with the entries of further configs, as MONAI's command line merges them; nothing is resolved.

    Raises:
        OptionError: a config cannot be read.
        BundleError: the template has no `train.json`.
    """
    from monai.bundle import ConfigParser

    own = template.root / "configs" / "train.json"
    if not own.is_file():
        message = f"The bundle has no {own}, so no configs can be laid over it. Name a bundle that can be trained."
        raise BundleError(message)
    try:
        merged: dict[str, Any] = ConfigParser.load_config_files([str(path) for path in (own, *configs)])
    except Exception as error:  # (a config can be wrong in many ways)
        names = ", ".join(str(path) for path in configs)
        message = (
            f"The configs {names} cannot be laid over {own} ({first_line(error)}). Give JSON or YAML files of its keys."
        )
        raise OptionError(message) from error
    return merged
