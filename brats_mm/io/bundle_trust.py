"""Restrict the configs of untrusted bundles to known classes and functions.

A MONAI config can name any function and contain any expression, so loading an unknown bundle could run any code.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from brats_mm.data.json_file import read_json
from brats_mm.errors import BundleError
from brats_mm.io.bundle import Bundle, default_bundle

_KNOWN_NETWORK = re.compile(
    r"brats_mm\.networks\.[a-z_0-9]+\.\w+"
    r"|brats_mm\.experiments\.(?:presets|early_fusion|momke|mmp\.[a-z_]+|avmnist\.presets)\.\w+"
    r"|torch\.nn\.[A-Z]\w*"
)
_REFERENCE = re.compile(r"@(\w+)((?:(?:::|#)\w+)*)")
_PLAIN_KEYS = ("_target_", "_desc_")
_ADVICE = "A bundle can run any code. If you trust its source, add --trust-bundle (trust_bundle=True in Python)."


def select_known_network(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a config that define its network, if they use only known networks and plain values.

    Returns:
        The entry `network_def` and the entries that it refers to.

    Raises:
        BundleError: the entries refer to another class or function, or contain an expression or a macro.
    """
    network: dict[str, Any] = {}
    open_names = ["network_def"]
    while open_names:
        entry = open_names.pop()
        if entry in network or entry not in config:
            continue
        network[entry] = config[entry]
        for key, value in _iterate_leaves(config[entry]):
            open_names += _find_referred(key, value)
            if key == "_target_":
                _check_origin(value)
    return network


def _check_origin(target: str) -> None:
    """Check that a target is defined in the module of its path, not imported from another one."""
    module, _, name = target.rpartition(".")
    try:
        value = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise BundleError(
            f"The bundle needs {target}, which this version does not have. Install the version for which the bundle "
            "was created."
        ) from error
    package = module.partition(".")[0]
    if (
        not callable(value)
        or value.__module__.partition(".")[0] != package
        or (package == "torch" and _is_not_layer(value))
    ):
        _reject(f"refers to {target}, which is not a network")


def _is_not_layer(value: Any) -> bool:
    from torch import nn

    return not (isinstance(value, type) and issubclass(value, nn.Module))


def check_configs(bundle: Bundle) -> None:
    """Check that all configs of a bundle use only classes, functions and expressions of the installed bundles.

    Raises:
        BundleError: a config contains anything else, or cannot be read.
    """
    if bundle.root.resolve() == default_bundle().resolve():
        return
    allowed = _collect_known_parts(default_bundle().parent)
    for path in sorted((bundle.root / "configs").rglob("*.json")):
        for key, value in _iterate_leaves(_read_json(path)):
            if _is_active(key, value) and value not in allowed and not (key == "_target_" and _is_network(value)):
                _reject(f"contains {str(value)[:80]!r} in {path.name}, which is not part of an installed bundle")


@cache
def _collect_known_parts(bundles: Path) -> frozenset[str]:
    return frozenset(
        value
        for path in sorted(bundles.glob("*/configs/**/*.json"))
        for key, value in _iterate_leaves(_read_json(path))
        if _is_active(key, value)
    )


def _is_active(key: str, value: Any) -> bool:
    """Return whether MONAI imports, runs or reads something because of a config value."""
    return isinstance(value, str) and (key.startswith("_") or "$" in value or value.startswith("%"))


def _is_network(target: Any) -> bool:
    return isinstance(target, str) and _KNOWN_NETWORK.fullmatch(target) is not None


def _find_referred(key: str, value: Any) -> list[str]:
    """Return the entry that a value refers to, as a list with at most one item."""
    if key == "_target_" and not _is_network(value):
        _reject(f"uses {str(value)[:80]} as its network, which is not a known network")
    if key.startswith("_") and key not in _PLAIN_KEYS:
        _reject(f"uses {key} in its network")
    if not isinstance(value, str) or key == "_desc_":
        return []
    if value.startswith(("$", "%")):
        _reject(f"contains the expression {value[:80]!r} in its network")
    if not value.startswith("@"):
        return []
    reference = _REFERENCE.fullmatch(value)
    if reference is None:
        _reject(f"contains the reference {value[:80]!r} in its network")
    return [reference.group(1)]


def _iterate_leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield all nested values with their keys, and the keys as values, because MONAI may interpret both."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if str(name)[:1] in ("$", "@", "%"):
                yield "", name
            yield from _iterate_leaves(item, str(name))
    elif isinstance(value, list):
        for item in value:
            yield from _iterate_leaves(item, key)
    else:
        yield key, value


def _read_json(path: Path) -> dict[str, Any]:
    return read_json(path, BundleError, "Restore the bundle from its archive.")


def _reject(part: str) -> NoReturn:
    raise BundleError(f"The bundle was not loaded because it {part}. {_ADVICE}")
