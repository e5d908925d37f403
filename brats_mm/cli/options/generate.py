"""Generate command-line options from dataclasses whose fields are offered with `domain.options.option`."""

import argparse
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from brats_mm.domain.options import Option, list_options

Kind = TypeVar("Kind")

_GROUPS = {
    "raw scans": "Raw scans (different grids, thick slices, with skull) are detected, registered, resampled to 1 mm "
    "and skull-stripped. Results are on the grid of one of the scans. Input prepared like BraTS data is used "
    "unchanged.",
    "DICOM results": "Write a DICOM Segmentation, a Parametric Map of the entropy and a Structured Report of the "
    "volumes, on the slices of the reference series. Needs DICOM input or --dicom-reference.",
    "BIDS dataset": "Select from a BIDS dataset by labels, with or without their entity.",
    "workers": "One process on this machine, or workers on a cluster.",
    "PACS": "Fetch studies from a DICOMweb archive and store results in it.",
    "learning": "Fine-tune on the labels that viewers submit.",
}


def add_options(parser: argparse.ArgumentParser, *kinds: type, without: tuple[str, ...] = ()) -> None:
    """Add the options of dataclasses to a parser, in their groups.

    Args:
        parser: parser of a command.
        kinds: classes such as `OutputOptions`.
        without: options that the command does not offer.
    """
    targets: dict[str, Any] = {"": parser}
    for option in (option for kind in kinds for option in list_options(kind) if option.name not in without):
        group = option.offer.group
        if group not in targets:
            targets[group] = parser.add_argument_group(group, _GROUPS.get(group))
        target = targets[group]
        exclusive = option.offer.excludes
        if exclusive and exclusive not in targets:
            targets[exclusive] = target.add_mutually_exclusive_group()
        _add(targets[exclusive] if exclusive else target, option)


def build_options(arguments: argparse.Namespace, kind: type[Kind], **values: Any) -> Kind:
    """Return a dataclass from the parsed options of `add_options`.

    Args:
        arguments: parsed options of the command.
        kind: class to build.
        values: fields that are not options of the command.

    Raises:
        OptionError: an option has an invalid value.
    """
    offered = {
        option.field: _to_field(getattr(arguments, option.name), option)
        for option in list_options(kind)  # type: ignore[arg-type]  # mypy takes classes as unhashable
        if hasattr(arguments, option.name)
    }
    return kind(**offered, **values)


def _to_field(value: Any, option: Option) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if option.offer.unit != 1:
        return option.kind(value * option.offer.unit)
    enum = next((kind for kind in _list_kinds(option) if isinstance(kind, type) and issubclass(kind, Enum)), None)
    return value if enum is None or value is None else enum(value)


def _add(target: Any, option: Option) -> None:
    offer, flag = option.offer, f"--{option.name.replace('_', '-')}"
    if offer.flags:
        exclusive = target.add_mutually_exclusive_group()
        for name, text in offer.flags.items():
            exclusive.add_argument(
                f"--{name}",
                dest=option.name,
                action="store_const",
                const=name,
                default=option.default,
                help=_escape_percent(text),
            )
    elif option.kind is bool and option.default:
        target.add_argument(
            flag if offer.name else f"--no-{flag[2:]}",
            dest=option.name,
            action="store_false",
            help=_escape_percent(f"do not {offer.help}"),
        )
    elif option.kind is bool:
        target.add_argument(flag, action="store_true", help=_escape_percent(offer.help))
    elif get_origin(option.kind) is tuple:
        kinds = get_args(option.kind)
        target.add_argument(
            flag,
            nargs="+" if Ellipsis in kinds else len(kinds),
            type=kinds[0],
            default=option.default,
            metavar=offer.metavar,
            help=_escape_percent(offer.help),
        )
    else:
        is_enum = isinstance(option.default, Enum)
        choices = [member.value for member in type(option.default)] if is_enum else offer.choices or None
        target.add_argument(
            flag,
            type=float if offer.unit != 1 else _find_type(option),
            default=option.default.value if is_enum else _to_unit(option.default, offer.unit),
            choices=choices,
            metavar=offer.metavar,
            help=_escape_percent(offer.help),
        )


def _list_kinds(option: Option) -> tuple[Any, ...]:
    return get_args(option.kind) or (option.kind,)


def _find_type(option: Option) -> type:
    return next((kind for kind in _list_kinds(option) if kind in (int, float, Path)), str)


def _to_unit(default: Any, unit: float | int) -> Any:
    return default if unit == 1 or default is None else default / unit


def _escape_percent(text: str) -> str:
    """Escape percent signs, which argparse would format."""
    return text.replace("%", "%%")
