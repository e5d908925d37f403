"""Read the methods of an experiment from config and experiment files.

A config file defines one method, named after the file. An experiment file lists methods by name under `methods`. Each
is a config file in the same folder, entries of a config (merged into the file that their `config` names), or another
experiment file, whose methods keep their names. Its `settings` apply to every training run, its `expert_settings` to
experts only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from brats_mm.data.json_file import read_json
from brats_mm.errors import OptionError
from brats_mm.io.bundle import Bundle
from brats_mm.packaging.method_config import METHODS

Settings = dict[str, Any]
"""Unresolved entries of a config."""


@dataclass(frozen=True)
class Method:
    """A method to train.

    Attributes:
        name: name for folders and tables.
        configs: files merged into `train.json`, in this order.
        settings: entries merged after the files.
        expert_settings: entries merged into `pretrain_expert.json`, for methods that start from experts.
        entry_names: names of the entries of this method in the experiment file.
    """

    name: str
    configs: tuple[Path, ...] = ()
    settings: Settings = field(default_factory=dict)
    expert_settings: Settings = field(default_factory=dict)
    entry_names: tuple[str, ...] = ()


def read_methods(requested: Sequence[str], template: Bundle) -> tuple[Method, ...]:
    """Read methods by name or path.

    Args:
        requested: paths of config or experiment files, names of files in the bundle's `configs/methods`, or names of
            methods that the bundle's experiment files list.
        template: the bundle.

    Returns:
        The methods in order, without duplicates.

    Raises:
        OptionError: a file is missing or invalid, or two different methods have the same name.
    """
    methods: list[Method] = []
    for method in (method for text in requested for method in _find_requested(text, template)):
        if method not in methods:  # two lists can share a method
            methods.append(method)
    names = [method.name for method in methods]
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise OptionError(
            f"Several methods are named {', '.join(duplicates)}. Give them different names in an experiment file."
        )
    return tuple(methods)


def _find_requested(name: str, template: Bundle) -> list[Method]:
    files = {path.stem: path for path in sorted((template.root / METHODS).glob("*.json"))}
    file = files.get(name) or (Path(name).resolve() if Path(name).is_file() else None)
    if file is not None:
        return _read_methods_file(file)
    listed = [method for path in files.values() for method in _read_methods_file(path)]
    matches = [method for index, method in enumerate(listed) if method.name == name and method not in listed[:index]]
    if len(matches) > 1:
        raise OptionError(f"The bundle's lists define {name} differently. Provide the file of one list.")
    if not matches:
        available = ", ".join(sorted({*files, *(method.name for method in listed)})) or "none"
        raise OptionError(f"No config {name} exists. Provide a file or one of the bundle's methods: {available}.")
    return matches


def _read_methods_file(path: Path, name: str | None = None, within: tuple[Path, ...] = ()) -> list[Method]:
    """Return the methods of an experiment file, or the single method of a config.

    Args:
        path: the file.
        name: name of a config's method. Defaults to the name of the file.
        within: experiment files that include this one, outermost first.
    """
    content = _read(path)
    if "methods" not in content:
        return [Method(name or path.stem, (path,))]
    if path in within:
        raise OptionError(f"The experiment file {path} includes itself. Remove the circular reference.")
    if not isinstance(content["methods"], dict):
        raise OptionError(f"`methods` in {path} must be a JSON object of methods by name.")
    unknown = sorted(content.keys() - {"methods", "settings", "expert_settings"})
    if unknown:
        raise OptionError(
            f"Unknown keys in {path}: {', '.join(unknown)}. Use `methods`, `settings` and `expert_settings`."
        )
    shared = content.get("settings", {})
    of_experts = {**shared, **content.get("expert_settings", {})}
    return [
        replace(
            method, settings={**shared, **method.settings}, expert_settings={**of_experts, **method.expert_settings}
        )
        for name, entry in content["methods"].items()
        for method in _read_entry(name, entry, path, within)
    ]


def _read_entry(name: str, entry: Any, listed_in: Path, within: tuple[Path, ...]) -> list[Method]:
    """Return the methods of one entry of an experiment file, without the settings that apply to all methods."""
    if isinstance(entry, str):
        return _read_methods_file((listed_in.parent / entry).resolve(), name, (*within, listed_in))
    if isinstance(entry, dict):
        settings = {key: value for key, value in entry.items() if key != "config"}
        configs = ((listed_in.parent / str(entry["config"])).resolve(),) if "config" in entry else ()
        return [Method(name, configs, settings, entry_names=tuple(settings))]
    raise OptionError(
        f"The method {name} is {entry!r}. It must be the name of a config or experiment file, or entries of a config."
    )


def _read(path: Path) -> Settings:
    return read_json(path, OptionError, "Provide a config.")
