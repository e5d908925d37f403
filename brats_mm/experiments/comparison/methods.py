"""Which methods an experiment compares: configs over the bundle's own, and files that list several of them.

A config file is one method, named after the file. An experiment file lists methods under `methods`, by name: each is a config
file beside it, entries of one (over a config file where their `config` names it), or another experiment file, whose methods
all join under their own names. Its `settings` go to every training, its `expert_settings` to the experts alone.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from brats_mm.errors import OptionError
from brats_mm.io.bundle import Bundle
from brats_mm.packaging.method_config import METHODS

Settings = dict[str, Any]
"""Entries of a config, as they stand in a file."""


@dataclass(frozen=True)
class Method:
    """A way to train.

    Attributes:
        name: of its folders and in its tables.
        configs: files over `train.json`, in this order.
        settings: entries over these.
        expert_settings: entries over `pretrain_expert.json`, where the method starts from experts.
        own: names of the entries that the experiment file gives to this method alone.
    """

    name: str
    configs: tuple[Path, ...] = ()
    settings: Settings = field(default_factory=dict)
    expert_settings: Settings = field(default_factory=dict)
    own: tuple[str, ...] = ()


def read_methods(given: Sequence[str], template: Bundle) -> tuple[Method, ...]:
    """The methods that words of a command line stand for.

    Args:
        given: paths of config or experiment files, or names of those that the bundle has in `configs/methods`.
        template: the bundle.

    Raises:
        OptionError: a file is absent or is none of these, or two different methods have one name.
    """
    methods: list[Method] = []
    for method in (method for word in given for method in _methods_of(_file_of(word, template))):
        if method not in methods:  # two lists can hold the same one
            methods.append(method)
    names = [method.name for method in methods]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        message = (
            f"Different methods are called {', '.join(twice)}. Give them names of their own in an experiment file."
        )
        raise OptionError(message)
    return tuple(methods)


def _file_of(word: str, template: Bundle) -> Path:
    folder = template.root / METHODS
    named = folder / f"{word}.json"
    if named.is_file():
        return named
    if Path(word).is_file():
        return Path(word).resolve()
    known = ", ".join(sorted(path.stem for path in folder.glob("*.json"))) or "none"
    message = f"There is no config {word}. Give a file, or one of the bundle's methods: {known}."
    raise OptionError(message)


def _methods_of(path: Path, name: str | None = None, within: tuple[Path, ...] = ()) -> list[Method]:
    """The methods of an experiment file, or the one of a config, under its `name` or else the file's.

    `within` are the experiment files that name this one, outermost first.
    """
    content = _read(path)
    if "methods" not in content:
        return [Method(name or path.stem, (path,))]
    if path in within:
        message = f"The experiment file {path} names itself, in the end. Mend the file."
        raise OptionError(message)
    strange = sorted(content.keys() - {"methods", "settings", "expert_settings"})
    if strange or not isinstance(content["methods"], dict):
        message = f"{path} lists methods, but has {', '.join(strange) or 'no names for them'} as well. Mend the file."
        raise OptionError(message)
    shared = content.get("settings", {})
    of_experts = {**shared, **content.get("expert_settings", {})}
    return [
        replace(
            method, settings={**shared, **method.settings}, expert_settings={**of_experts, **method.expert_settings}
        )
        for name, entry in content["methods"].items()
        for method in _entry(name, entry, path, within)
    ]


def _entry(name: str, entry: Any, listed_in: Path, within: tuple[Path, ...]) -> list[Method]:
    """What one entry of an experiment file stands for, without what the file says of all."""
    if isinstance(entry, str):
        return _methods_of((listed_in.parent / entry).resolve(), name, (*within, listed_in))
    if isinstance(entry, dict):
        settings = {key: value for key, value in entry.items() if key != "config"}
        configs = ((listed_in.parent / str(entry["config"])).resolve(),) if "config" in entry else ()
        return [Method(name, configs, settings, own=tuple(settings))]
    message = (
        f"The method {name} is {entry!r}; it must be the name of a config or experiment file, or entries of a config."
    )
    raise OptionError(message)


def _read(path: Path) -> Settings:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"The config {path} cannot be read ({error}). Give a JSON file."
        raise OptionError(message) from error
    if not isinstance(found, dict):
        message = f"The config {path} holds no entries by name. Give a JSON object."
        raise OptionError(message)
    return found
