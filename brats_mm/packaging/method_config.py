"""A method of training as config files over the bundle's own: what they make of the network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brats_mm.errors import BundleError, OptionError, first_line
from brats_mm.io.bundle import Bundle
from brats_mm.pipeline.network import inference_config
from brats_mm.training.record import Record, differing, read_record

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


NAMES = ("network_def", "spacing_mm")
"""What inference must know of a training."""


def trained_as(template: Bundle, configs: Sequence[Path], checkpoints: Sequence[Path] = ()) -> TrainedAs:
    """What the template's `inference.json` becomes for weights that were trained with other settings.

    Args:
        template: the bundle that was trained.
        configs: what the training had over `train.json`; without them the records beside the checkpoints tell.
        checkpoints: the weights; see `training.record`.

    Raises:
        OptionError: a config cannot be read.
        BundleError: the template's cannot, or records and configs contradict each other.
    """
    inference = inference_config(template)
    records = {path: record for path in checkpoints if (record := read_record(path)) is not None}
    trains = (template.root / "configs" / "train.json").is_file()
    merged = merged_config(template, configs) if configs or trains else dict[str, Any](inference)
    told = next(({**record["config"], **_stated(record)} for record in records.values()), None)
    if told is not None and not configs:
        merged = told
    merged = {**merged, **{name: _resolved(merged.get(name, inference.get(name)), merged) for name in NAMES}}
    for path, record in records.items():
        differences = differing(_stated(record), merged, NAMES)
        if differences:
            message = (
                f"{path} was trained with other settings than those to pack: {'; '.join(differences)}. Leave out "
                "--config, or pack checkpoints of one training only."
            )
            raise BundleError(message)
    for key in NAMES:
        inference[key] = merged[key]
    return TrainedAs(inference, {key: str(value) for key, value in merged.get("method", {}).items()})


def _stated(record: Record) -> dict[str, Any]:
    settings = record["settings"]
    return {name: _resolved(settings[name], record["config"]) for name in NAMES if settings.get(name) is not None}


def _resolved(value: Any, config: Mapping[str, Any]) -> Any:
    """A value with references to plain top-level entries (`@projected_scales`) replaced by these entries."""
    if isinstance(value, dict):
        return {key: _resolved(one, config) for key, one in value.items()}
    if isinstance(value, list):
        return [_resolved(one, config) for one in value]
    return config.get(value[1:], value) if isinstance(value, str) and value.startswith("@") else value


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
