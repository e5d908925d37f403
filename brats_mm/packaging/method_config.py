"""Derive a bundle's inference config from the config files of its training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brats_mm.errors import BundleError, OptionError, extract_first_line
from brats_mm.io.bundle import Bundle
from brats_mm.pipeline.network import read_inference_config
from brats_mm.training.record import Record, describe_differences, read_record

METHODS = "configs/methods"


@dataclass(frozen=True)
class TrainedAs:
    """Configuration of a bundle that was trained with additional configs.

    Attributes:
        inference: content of `configs/inference.json`, with the network and voxel size of the training.
        described: `name` and `description` for the metadata, from the `method` entry of a config.
    """

    inference: dict[str, Any]
    described: dict[str, str]


NAMES = ("network_def", "spacing_mm")
"""Settings of a training run that inference needs."""


def adapt_template(template: Bundle, configs: Sequence[Path], checkpoints: Sequence[Path] = ()) -> TrainedAs:
    """Adapt the template's `inference.json` to weights that were trained with other settings.

    Args:
        template: the bundle that was trained.
        configs: configs that the training used on top of `train.json`. Without configs, the settings come from the
            records next to the checkpoints.
        checkpoints: the weights. See `training.record`.

    Raises:
        OptionError: a config cannot be read.
        BundleError: the template's config cannot be read, or records and configs disagree.
    """
    inference = read_inference_config(template)
    records = {path: record for path in checkpoints if (record := read_record(path)) is not None}
    trains = (template.root / "configs" / "train.json").is_file()
    merged = merge_config(template, configs) if configs or trains else dict[str, Any](inference)
    recorded = next(({**record["config"], **_resolve_recorded_settings(record)} for record in records.values()), None)
    if recorded is not None and not configs:
        merged = recorded
    merged = {**merged, **{name: _resolve(merged.get(name, inference.get(name)), merged) for name in NAMES}}
    for path, record in records.items():
        differences = describe_differences(_resolve_recorded_settings(record), merged, NAMES)
        if differences:
            raise BundleError(
                f"{path} was trained with other settings: {'; '.join(differences)}. Omit --config, or use checkpoints "
                "of a single training run."
            )
    for key in NAMES:
        inference[key] = merged[key]
    return TrainedAs(inference, {key: str(value) for key, value in merged.get("method", {}).items()})


def _resolve_recorded_settings(record: Record) -> dict[str, Any]:
    settings = record["settings"]
    return {name: _resolve(settings[name], record["config"]) for name in NAMES if settings.get(name) is not None}


def _resolve(value: Any, config: Mapping[str, Any]) -> Any:
    """Replace references to plain top-level entries (`@projected_scales`) by the entries."""
    if isinstance(value, dict):
        return {key: _resolve(item, config) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, config) for item in value]
    return config.get(value[1:], value) if isinstance(value, str) and value.startswith("@") else value


def merge_config(template: Bundle, configs: Sequence[Path]) -> dict[str, Any]:
    """Merge configs into `train.json` like MONAI's command line, without resolving references.

    Args:
        template: bundle with the `train.json`.
        configs: files to merge into it, in this order.

    Raises:
        OptionError: a config cannot be read.
        BundleError: the template has no `train.json`.
    """
    from monai.bundle import ConfigParser

    base = template.root / "configs" / "train.json"
    if not base.is_file():
        raise BundleError(f"The bundle has no {base} to merge configs into. Provide a bundle that can be trained.")
    try:
        merged: dict[str, Any] = ConfigParser.load_config_files([str(path) for path in (base, *configs)])
    except Exception as error:  # MONAI raises many types for a bad config
        names = ", ".join(str(path) for path in configs)
        raise OptionError(
            f"Cannot merge {names} into {base} ({extract_first_line(error)}). Provide JSON or YAML files with its keys."
        ) from error
    return merged
