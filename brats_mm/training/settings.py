"""Check the settings of a training run for unknown names and invalid values before it starts."""

import json
import logging
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from brats_mm.errors import OptionError
from brats_mm.io.running_bundle import find_running_workflow
from brats_mm.training.parsing import FALSE, TRUE

logger = logging.getLogger(__name__)

MULTIPLE = 16
"""Sides of windows are multiples of this, because the U-Net halves them four times."""

GATE_SIDE = 32
"""Largest side that is too small for the gate, which halves a window five times and needs more than one voxel."""

PARTED = ("steps", "train", "validate")
"""Entries that hold named parts."""

ENTRY_POINTS = frozenset(
    {"imports", "initialize", "run", "finalize", "train", "validate", "bundle_root", "_meta_", "method", "tracking"}
    | {"tracking_uri", "experiment_name", "run_name", "save_execute_config", "is_not_rank0"}
)
"""Entries that MONAI reads by name, or that describe a method."""


@dataclass(frozen=True)
class Rule:
    """Valid values of a setting: a test and its description."""

    holds: Callable[[Any], bool]
    words: str


def _is_number(value: Any) -> bool:
    """Return whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _require_whole(low: int, *, optional: bool = False) -> Rule:
    words = f"a whole number, {low} or more" + (", or null" if optional else "")
    return Rule(lambda value: (optional and value is None) or (_is_whole(value) and value >= low), words)


def _require_between(low: float | int, high: float | int, words: str) -> Rule:
    return Rule(lambda value: _is_number(value) and low <= value <= high, words)


def _require_at_least_zero(words: str = "0 or more") -> Rule:
    return Rule(lambda value: _is_number(value) and value >= 0, words)


_SIDES = Rule(
    lambda value: (
        isinstance(value, list | tuple)
        and len(value) == 3
        and all(isinstance(side, int) and side > 0 and side % MULTIPLE == 0 for side in value)
    ),
    f"three multiples of {MULTIPLE}, such as [64, 64, 64]",
)


def _require_one_of(*names: str) -> Rule:
    return Rule(lambda value: value in names, f"one of {', '.join(names)}")


_FLAG = Rule(lambda value: str(value).strip().lower() in {*TRUE, *FALSE}, "true or false")

RULES: dict[str, Rule] = {
    "epochs": _require_whole(1),
    "steps_per_epoch": _require_whole(1, optional=True),
    "val_interval": _require_whole(1),
    "batch_size": _require_whole(1),
    "pairs": _require_whole(1),
    "views": _require_whole(1),
    "num_workers": _require_whole(0),
    "warmup_epochs": _require_whole(0),
    "patience": _require_whole(0),
    "supervised_levels": _require_whole(1),
    "projected_scales": _require_whole(0),
    "seed": Rule(lambda value: _is_whole(value) and 0 <= value < 2**32, "a whole number from 0 to 4294967295"),
    "learning_rate": Rule(lambda value: _is_number(value) and value > 0, "above 0"),
    "spacing_mm": _require_between(0.2, 10, "a voxel size from 0.2 to 10 mm"),
    "ranking_weight": _require_at_least_zero(),
    "alignment_weight": _require_at_least_zero(),
    "clip_norm": _require_at_least_zero("0 or more (0 disables clipping)"),
    "weight_decay": _require_at_least_zero(),
    "cache_rate": _require_between(0, 1, "a fraction from 0 to 1"),
    "transplant_prob": Rule(
        lambda value: value is None or (_is_number(value) and 0 <= value <= 1), "a fraction from 0 to 1"
    ),
    "drop_prob": Rule(lambda value: _is_number(value) and 0 <= value < 1, "0 to below 1"),
    "ema_decay": Rule(lambda value: _is_number(value) and 0 <= value < 1, "0 to below 1 (0 disables averaging)"),
    "window": _SIDES,
    "validation_window": _SIDES,
    "augmentation": _require_one_of("paper", "small_data", "strong"),
    "schedule": _require_one_of("constant", "cosine", "poly"),
    "precision": _require_one_of("float32", "bfloat16", "float16"),
    "pair_sampler": _require_one_of("uniform", "released"),
    "crops": _require_one_of("same", "independent"),
    "resume": _FLAG,
    "check_cases": _FLAG,
    "allow_other_spacing": _FLAG,
}


def check_settings(stage: str) -> None:
    """Check the settings of the running config. Called by its first step.

    Args:
        stage: `mixture` or `expert`.

    Raises:
        OptionError: an entry is unknown or has an invalid value.
    """
    workflow = find_running_workflow()
    if workflow is None:
        return
    config = {key: value for key, value in workflow.parser.get().items() if key != "_meta_"}
    configs = Path(workflow.parser.get_parsed_content("bundle_root")) / "configs"
    check_names(config, _collect_names(configs))
    check_parts(config, _collect_parts(map(_read, _list_files(configs))))
    values = {name: workflow.parser.get_parsed_content(name) for name in RULES if name in config}
    check_values(values, gated=stage == "mixture")
    if values.get("val_interval", 0) > values.get("epochs", math.inf):
        logger.warning(
            "val_interval is %d but epochs is %d, so nothing is validated and only the last weights are kept.",
            *(values["val_interval"], values["epochs"]),
        )


def check_overrides(settings: Mapping[str, Any], configs: Path, files: Collection[Path] = (), *, gated: bool) -> None:
    """Check settings before any library is loaded. `check_settings` checks the merged config later.

    Args:
        settings: entries to merge into the configs of a bundle.
        configs: the `configs` folder of the bundle.
        files: further config files to merge. Only JSON files are checked.
        gated: see `check_values`.

    Raises:
        OptionError: a name is in none of the configs, or a value is invalid.
    """
    contents = [_read(path) for path in files if path.suffix == ".json"]
    if len(contents) == len(files):
        known_names = _collect_names(configs).union(ENTRY_POINTS, *contents)
        _raise_unknown([name for name in settings if _extract_top_level(name) not in known_names], known_names)
        check_parts(settings, _collect_parts([*map(_read, _list_files(configs)), *contents]))
    merged = {name: value for entries in (*contents, settings) for name, value in entries.items()}
    check_values({name: value for name, value in merged.items() if not _is_reference(value)}, gated=gated)


def _extract_top_level(name: str) -> str:
    return name.removeprefix("+").split("::")[0].split("#")[0]


def _is_reference(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("$", "@", "%"))


def _collect_names(configs: Path) -> frozenset[str]:
    """Return the entries of all configs of a bundle, which are valid even if a stage or method ignores them."""
    return frozenset(name for path in _list_files(configs) for name in _read(path))


def _list_files(configs: Path) -> list[Path]:
    return [*configs.glob("*.json"), *configs.glob("methods/*.json")]


def _collect_parts(configs: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the ids of the parts of `PARTED` entries in configs, such as `steps::divisible`."""
    ids = set()
    for config in configs:
        for name, value in config.items():
            path = name.removeprefix("+").split("::")
            if path[0] in PARTED and len(path) > 1:
                ids.add("::".join(path[:2]))
            elif path[0] in PARTED and isinstance(value, Mapping):
                ids.update(f"{path[0]}::{part}" for part in value)
    return frozenset(ids)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(f"The config {path} cannot be read ({error}). Correct it.") from error
    if not isinstance(content, dict):
        raise OptionError(f"The config {path} is not a JSON object. Write settings as keys and values.")
    return content


def check_names(config: Mapping[str, Any], extra_names: Collection[str] = ()) -> None:
    """Reject top-level entries without a reference in the config.

    Args:
        config: the merged config.
        extra_names: further valid names.

    Raises:
        OptionError: there are such entries. The message suggests the nearest known names.
    """
    text = json.dumps(dict(config), default=str)
    known_names = [
        key
        for key in config
        if key in ENTRY_POINTS or key in extra_names or re.search(rf"[@%]{re.escape(key)}\b", text)
    ]
    _raise_unknown([key for key in config if key not in known_names and not key.startswith("_")], known_names)


def check_parts(config: Mapping[str, Any], known_parts: Collection[str]) -> None:
    """Reject unknown parts of `PARTED` entries, which MONAI would ignore. Parts that other entries refer to are valid.

    Args:
        config: the merged config, or entries to merge. Names that start with `+` are skipped.
        known_parts: ids of valid parts, such as `steps::divisible`.

    Raises:
        OptionError: there are such parts. The message suggests the nearest known ids.
    """
    text = json.dumps(dict(config), default=str)
    parts = _collect_parts([{name: value for name, value in config.items() if not name.startswith("+")}])
    unknown = sorted(part for part in parts - set(known_parts) if not re.search(rf"[@%]{part}\b", text))
    _raise_unknown(unknown, known_parts)


def _raise_unknown(unknown: Collection[str], known_names: Collection[str]) -> None:
    messages = []
    for name in unknown:
        near = get_close_matches(name, known_names, n=1)
        messages.append(f"{name} (did you mean {near[0]}?)" if near else name)
    if messages:
        raise OptionError(f"Unknown settings: {', '.join(messages)}. docs/training.md lists the settings.")


def check_values(values: Mapping[str, Any], *, gated: bool = False) -> None:
    """Reject invalid values.

    Args:
        values: settings by name. Settings without a rule are skipped.
        gated: whether the network has a gate, which needs larger windows.

    Raises:
        OptionError: values break their rules. The message names all of them.
    """
    violations = [
        f"{name} is {values[name]!r} but must be {rule.words}"
        for name, rule in RULES.items()
        if name in values and not rule.holds(values[name])
    ]
    window = values.get("window")
    if not violations and gated and window is not None and max(window) <= GATE_SIDE:
        violations.append(
            f"window is {list(window)}, but the gate needs a side above {GATE_SIDE}, such as [48, 48, 48]"
        )
    if violations:
        raise OptionError(f"{'; '.join(violations)}. Correct the settings, and start again.")
