"""Record next to each checkpoint with the settings, data and versions of its training.

A checkpoint `model.pt` has a record `model.pt.json`. `brats-mm bundle create` reads the network and voxel size from it.
Resumed training runs and warm starts compare their settings with it.
"""

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from brats_mm import __version__
from brats_mm.data.json_file import read_json
from brats_mm.errors import TrainingError
from brats_mm.io.durable import write_json
from brats_mm.io.running_bundle import find_running_workflow

RECORD_VERSION = 1

FIXED = (
    "spacing_mm",
    "network_def",
    "modality",
    "window",
    "augmentation",
    "transplant_prob",
    "label_scheme",
    "pair_sampler",
    "pairs",
    "crops",
    "loss",
    "ranking_weight",
    "supervised_levels",
    "datalist_sha256",
)
"""Settings that must not change when a training run is resumed."""

NESTED = ("optimizer", "loss", "steps")
"""Entries whose content must not change when a training run is resumed."""

NO_SETTINGS = frozenset({"imports", "bundle_root", "initialize", "run", "finalize", "train", "validate", "_desc_"})
"""Entries of a config that MONAI's workflow uses internally."""

PACKAGES = ("torch", "monai", "numpy", "pytorch-ignite", "nibabel")

Record = Mapping[str, Any]


def make_record(
    settings: Mapping[str, Any], config: Mapping[str, Any], *, changed: Mapping[str, Any] | None = None
) -> Record:
    """Return a record with the installed versions and the git revision.

    Args:
        settings: values of the settings, with `network_def` and `spacing_mm`.
        config: config of the training. `bundle create` reads `method` from it.
        changed: entries of the config that differ from the bundle's `train.json`.
    """
    return {
        "record_version": RECORD_VERSION,
        "settings": dict(settings),
        "changed": dict(changed or {}),
        "config": dict(config),
        "versions": {"brats-mm": __version__, "python": platform.python_version(), **_collect_versions()},
        "revision": _find_revision(),
    }


class TrainingRecord:
    """Record of the running training, captured once.

    Args:
        datalist: list of cases. The record holds its hash.

    Attributes:
        settings: resolved value of every top-level entry of the config that is a plain value, by name.
        document: content of the record file.
    """

    def __init__(self, datalist: Path | str | None = None) -> None:
        config = _read_running_config()
        self.settings: dict[str, Any] = _read_running_settings(config)
        settings = {
            **self.settings,
            "network_def": config.get("network_def"),
            "datalist_sha256": _compute_hash(datalist),
        }
        self.document = make_record(settings, config, changed=_find_changed(config))

    def write_beside(self, checkpoint: Path) -> None:
        """Write the record next to a saved checkpoint."""
        write_json(self.document, make_record_path(checkpoint), indent=2)

    def check_same_settings(self, checkpoint: Path) -> None:
        """Compare this run with the one that wrote a checkpoint.

        Raises:
            TrainingError: settings in `FIXED` differ. The message names both values.
        """
        former = read_record(checkpoint)
        if former is None:
            return
        differences = describe_differences(former["settings"], self.document["settings"], FIXED)
        parts, former_parts = (_collect_nested(document.get("config") or {}) for document in (self.document, former))
        names = sorted({*parts, *former_parts} - {"loss::_target_"}) if former_parts else []
        unset = dict.fromkeys(names, "unset")
        differences += describe_differences(unset | former_parts, unset | parts, names)
        if differences:
            raise TrainingError(
                f"{checkpoint} was trained with other settings: {'; '.join(differences)}. Resume with the earlier "
                "settings, or train into another --output_dir."
            )


def _collect_nested(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values inside the entries `NESTED` of a config by their ids, such as `steps::divisible::k`.

    References are unresolved, so settings that may change, such as the learning rate, do not count.
    """
    values: dict[str, Any] = {}

    def collect(name: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, child in value.items():
                collect(f"{name}::{key}", child)
        else:
            values[name] = value

    for name in NESTED:
        collect(name, config.get(name, {}))
    return values


def make_record_path(checkpoint: Path) -> Path:
    """Return the path of a checkpoint's record."""
    return checkpoint.with_name(f"{checkpoint.name}.json")


def read_record(checkpoint: Path) -> Record | None:
    """Read the record of a checkpoint, else that of the bundle that contains it, or return None if neither exists.

    Raises:
        TrainingError: the record cannot be read.
    """
    path, inference = make_record_path(checkpoint), checkpoint.parent.parent / "configs" / "inference.json"
    if path.is_file():
        return read_json(path, TrainingError, "Restore this training record, or delete it to continue without it.")
    if checkpoint.parent.name == "models" and inference.is_file():
        config = read_json(inference, TrainingError, "Restore the bundle from its archive.")
        return {"settings": {name: config.get(name) for name in ("spacing_mm", "network_def")}, "config": config}
    return None


def copy_record(source: Path, target: Path) -> None:
    """Copy the record of a checkpoint to its copy."""
    if make_record_path(source).is_file():
        make_record_path(target).write_bytes(make_record_path(source).read_bytes())


def check_same_spacing(checkpoint: Path, spacing_mm: float | int | None) -> None:
    """Compare the voxel size of initial weights with that of this run.

    Args:
        checkpoint: initial weights. Weights without a record are accepted.
        spacing_mm: voxel size of this run. None skips the comparison.

    Raises:
        TrainingError: the voxel sizes differ.
    """
    record = read_record(checkpoint) if spacing_mm is not None else None
    former = None if record is None else record["settings"].get("spacing_mm")
    if former is not None and abs(float(former) - float(spacing_mm or 0)) > 1e-6:
        raise TrainingError(
            f"{checkpoint} was trained with voxels of {former} mm, but this run uses {spacing_mm} mm. Set "
            f"--spacing_mm {former}, or allow the change with --allow_other_spacing true."
        )


def check_evaluated_spacing(weights: Path | str, spacing_mm: float | int) -> None:
    """Compare the voxel size of weights to evaluate with that of the config, if the weights have a training record.

    Args:
        weights: the weights. Weights without a record next to them are accepted.
        spacing_mm: voxel size of the config.

    Raises:
        TrainingError: the voxel sizes differ.
    """
    path = Path(weights)
    record = read_record(path) if make_record_path(path).is_file() else None
    former = None if record is None else record["settings"].get("spacing_mm")
    if former is not None and abs(float(former) - float(spacing_mm)) > 1e-6:
        raise TrainingError(
            f"{path} was trained with voxels of {former} mm, but this config uses {spacing_mm} mm. Set "
            f"--spacing_mm {former}."
        )


def describe_differences(former: Mapping[str, Any], current: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Describe the settings that differ, with both values. Settings recorded on only one side are skipped.

    Args:
        former: settings of the earlier training run.
        current: settings of this training run.
        names: settings to compare.
    """
    return [
        f"{name} was {_format_value(former[name])} and is now {_format_value(current[name])}"
        for name in names
        if former.get(name) is not None and name in current and former[name] != _to_plain(current[name])
    ]


def _format_value(value: Any) -> str:
    text = json.dumps(value) if isinstance(value, Mapping | list) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _read_running_config() -> dict[str, Any]:
    workflow = find_running_workflow()
    if workflow is None:
        return {}
    config: dict[str, Any] = _to_plain({key: value for key, value in workflow.parser.get().items() if key != "_meta_"})
    return config


def _read_running_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    workflow = find_running_workflow()
    if workflow is None:
        return {}
    names = [name for name, value in config.items() if name not in NO_SETTINGS and not isinstance(value, dict)]
    settings = {name: workflow.parser.get_parsed_content(name) for name in names}
    loss = config.get("loss")
    return dict(_to_plain({**settings, "loss": loss.get("_target_") if isinstance(loss, dict) else None}))


def _find_changed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the top-level entries that differ from the bundle's `train.json`."""
    workflow = find_running_workflow()
    train_config = Path(workflow.config_root_path) / "train.json" if workflow is not None else Path()
    if not train_config.is_file():
        return {}
    shipped = json.loads(train_config.read_text(encoding="utf-8"))
    return {key: value for key, value in config.items() if key not in NO_SETTINGS and shipped.get(key) != value}


def _to_plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _compute_hash(datalist: Path | str | None) -> str | None:
    path = None if datalist is None else Path(datalist).expanduser()
    return hashlib.sha256(path.read_bytes()).hexdigest() if path is not None and path.is_file() else None


def _collect_versions() -> dict[str, str]:
    installed = {package: _find_version(package) for package in PACKAGES}
    return {package: number for package, number in installed.items() if number is not None}


def _find_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _find_revision() -> str | None:
    """Return the git revision of a checkout, or None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
