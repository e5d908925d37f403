"""Restrict the configs of untrusted bundles to known classes and functions.

A MONAI config can name any function and contain any expression, so loading an unknown bundle could run any code.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from brats_mm.errors import BundleError
from brats_mm.io.bundle import Bundle, default_bundle

_KNOWN_NETWORK = re.compile(
    r"brats_mm\.networks\.[a-z_0-9]+\.\w+"
    r"|brats_mm\.experiments\.(?:presets|early_fusion|momke|mmp\.[a-z_]+|avmnist\.(?:presets|lenet))\.\w+"
    r"|torch\.nn\.[A-Z]\w*"
)
_REFERENCE = re.compile(r"@(\w+)((?:(?:::|#)\w+)*)")
_PLAIN_KEYS = ("_target_", "_desc_")
_ADVICE = "A bundle can run any code. If you know who made it, add --trust-bundle (trust_bundle=True in Python)."


def known_network(config: Mapping[str, Any], name: str = "network_def") -> dict[str, Any]:
    """Return the part of a config that defines its network, if it uses only known networks and plain values.

    Args:
        config: unresolved inference config.
        name: entry of the network.

    Returns:
        The entry and the entries that it refers to.

    Raises:
        BundleError: the config names another class or function, or contains an expression or a macro.
    """
    known: dict[str, Any] = {}
    open_names = [name]
    while open_names:
        entry = open_names.pop()
        if entry in known or entry not in config:
            continue
        known[entry] = config[entry]
        for key, value in _leaves(config[entry]):
            open_names += _referred(key, value)
            if key == "_target_":
                _check_defined_there(value)
    return known


def _check_defined_there(target: str) -> None:
    """Check that a target is defined at its path, and not just imported there."""
    module, _, name = target.rpartition(".")
    try:
        made = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        message = f"The bundle needs {target}, which this version does not have. Install the version it was made for."
        raise BundleError(message) from error
    package = module.partition(".")[0]
    if (
        not callable(made)
        or made.__module__.partition(".")[0] != package
        or (package == "torch" and _is_no_layer(made))
    ):
        _refuse(f"names {target}, which is not a network")


def _is_no_layer(made: Any) -> bool:
    from torch import nn

    return not (isinstance(made, type) and issubclass(made, nn.Module))


def check_configs(bundle: Bundle) -> None:
    """Check that all configs of a bundle use only classes, functions and expressions of the installed bundles.

    Raises:
        BundleError: a config holds anything else, or cannot be read.
    """
    if bundle.root.resolve() == default_bundle().resolve():
        return
    known = _known_parts(default_bundle().parent)
    for path in sorted((bundle.root / "configs").rglob("*.json")):
        for key, value in _leaves(_json(path)):
            if _is_active(key, value) and value not in known and not (key == "_target_" and _is_network(value)):
                _refuse(f"holds {str(value)[:80]!r} in {path.name}, which no installed bundle has")


@cache
def _known_parts(bundles: Path) -> frozenset[str]:
    return frozenset(
        value
        for path in sorted(bundles.glob("*/configs/**/*.json"))
        for key, value in _leaves(_json(path))
        if _is_active(key, value)
    )


def _is_active(key: str, value: Any) -> bool:
    """Return whether a value of a config makes MONAI import, run or read something."""
    return isinstance(value, str) and (key.startswith("_") or "$" in value or value.startswith("%"))


def _is_network(target: Any) -> bool:
    return isinstance(target, str) and _KNOWN_NETWORK.fullmatch(target) is not None


def _referred(key: str, value: Any) -> list[str]:
    """Return the entry that a value refers to, as a list of none or one."""
    if key == "_target_" and not _is_network(value):
        _refuse(f"names {str(value)[:80]} for its network, which is not a known network")
    if key.startswith("_") and key not in _PLAIN_KEYS:
        _refuse(f"uses {key} for its network")
    if not isinstance(value, str) or key == "_desc_":
        return []
    if value.startswith(("$", "%")):
        _refuse(f"holds the expression {value[:80]!r} for its network")
    if not value.startswith("@"):
        return []
    reference = _REFERENCE.fullmatch(value)
    if reference is None:
        _refuse(f"holds the reference {value[:80]!r} for its network")
    return [reference.group(1)]


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield all values below a value with their keys. Keys are also yielded as values, since MONAI may interpret
    them.
    """
    if isinstance(value, Mapping):
        for name, one in value.items():
            if str(name)[:1] in ("$", "@", "%"):
                yield "", name
            yield from _leaves(one, str(name))
    elif isinstance(value, list):
        for one in value:
            yield from _leaves(one, key)
    else:
        yield key, value


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        message = f"{path} cannot be read. Restore the bundle from its archive."
        raise BundleError(message) from error


def _refuse(part: str) -> NoReturn:
    message = f"The bundle is not loaded: it {part}. {_ADVICE}"
    raise BundleError(message)
