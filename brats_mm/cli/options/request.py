"""Command-line options of a request, generated from `domain.options`. Imports nothing heavy."""

import argparse
from enum import Enum
from typing import TYPE_CHECKING, Any, get_origin

from brats_mm.cli.output import Console
from brats_mm.domain.modality import MODALITIES
from brats_mm.domain.options import ModelOptions, Option, options_of
from brats_mm.domain.sequence_names import modality_named

if TYPE_CHECKING:
    from brats_mm.pipeline.load import Loaded
    from brats_mm.pipeline.segmenter import Segmenter

_GROUPS = {
    "raw scans": "Raw scans (different grids, thick slices, with skull) are detected, registered, resampled to 1 mm "
    "and skull-stripped. Results are on the grid of one of the scans. Input prepared like BraTS data is used "
    "unchanged.",
    "DICOM results": "Write a DICOM Segmentation, a Parametric Map of the entropy and a Structured Report of the "
    "volumes, on the slices of the reference series. Needs DICOM input or --dicom-reference.",
    "BIDS dataset": "Select from a BIDS dataset by labels, with or without their entity.",
    "model": None,
}
_SEQUENCE_ALIASES = ("t1n", "t1c", "t2w", "t2f")


def add_request_options(parser: argparse.ArgumentParser, *kinds: type, without: tuple[str, ...] = ()) -> None:
    """Add the options of request classes to a parser, in their groups.

    Args:
        parser: parser of a command.
        kinds: request classes such as `OutputOptions`.
        without: options that the command does not offer.
    """
    places: dict[str, Any] = {"": parser}
    for option in (option for kind in kinds for option in options_of(kind) if option.name not in without):
        group = option.offer.group
        if group not in places:
            places[group] = parser.add_argument_group(group, _GROUPS[group])
        place = places[group]
        exclusive = option.offer.excludes
        if exclusive and exclusive not in places:
            places[exclusive] = place.add_mutually_exclusive_group()
        _add(places[exclusive] if exclusive else place, option)


def add_sequence_options(parser: argparse.ArgumentParser, metavar: str, help: str) -> None:
    """Add an option with its alias for each sequence. `help` describes its value."""
    for modality in MODALITIES:
        aliases = [f"--{name}" for name in _SEQUENCE_ALIASES if modality_named(name) is modality]
        parser.add_argument(f"--{modality.value}", *aliases, metavar=metavar, help=help.format(sequence=modality.label))


def request_options(options: argparse.Namespace, *kinds: type) -> dict[str, Any]:
    """Return the parsed options of request classes by name, for `make_request`."""
    names = [option.name for kind in kinds for option in options_of(kind) if hasattr(options, option.name)]
    return {name: getattr(options, name) for name in names}


def sequence_options(options: argparse.Namespace) -> dict[str, str]:
    """Return the given values of the sequence options."""
    values = {modality.value: getattr(options, modality.value) for modality in MODALITIES}
    return {name: value for name, value in values.items() if value is not None}


def model_options(options: argparse.Namespace) -> ModelOptions:
    """Return the model options.

    Raises:
        OptionError: an option has an invalid value.
    """
    from brats_mm.pipeline.request import make_request

    return make_request(**request_options(options, ModelOptions)).model


def load_segmenter(model: ModelOptions, console: Console) -> "Segmenter":
    """Import torch and load the model."""
    console.say("Loading the model.")
    from brats_mm.execution.malloc_tuning import tune_malloc_for_inference

    tune_malloc_for_inference("cpu")  # before torch allocates anything
    from brats_mm.pipeline.segmenter import Segmenter

    segmenter = Segmenter.from_options(model)
    backend = segmenter.predictor.backend
    if backend is not None:
        console.say(f"Running the network with {backend.name}, {backend.precision}, on {backend.device}.")
    return segmenter


def print_loaded(loaded: "Loaded", console: Console) -> None:
    """Print the available and missing sequences, and the ignored files with the reasons."""
    from brats_mm.domain.availability import describe, ordered

    files = loaded.files
    if files is None:
        return
    for modality in ordered(files.paths):
        console.say(f"found    {modality.label}: {files.paths[modality]}")
    if files.missing:
        console.say(f"missing  {describe(files.missing)}")
    for name, reason in files.ignored.items():
        console.say(f"ignored  {name}: {reason}")
    for note in files.notes:
        console.warn(note)


def _add(place: Any, option: Option) -> None:
    offer, flag = option.offer, f"--{option.name.replace('_', '-')}"
    if offer.flags:
        exclusive = place.add_mutually_exclusive_group()
        for name, text in offer.flags.items():
            exclusive.add_argument(
                f"--{name}",
                dest=option.name,
                action="store_const",
                const=name,
                default=option.default,
                help=_literal(text),
            )
    elif option.kind is bool and option.default:
        place.add_argument(
            f"--no-{flag[2:]}", dest=option.name, action="store_false", help=_literal(f"do not {offer.help}")
        )
    elif option.kind is bool:
        place.add_argument(flag, action="store_true", help=_literal(offer.help))
    elif get_origin(option.kind) is tuple:
        place.add_argument(flag, nargs="+", default=option.default, metavar=offer.metavar, help=_literal(offer.help))
    else:
        is_enum = isinstance(option.default, Enum)
        choices = [member.value for member in type(option.default)] if is_enum else offer.choices or None
        place.add_argument(
            flag,
            type=option.kind if option.kind in (int, float) else str,
            default=option.default.value if is_enum else option.default,
            choices=choices,
            metavar=offer.metavar,
            help=_literal(offer.help),
        )


def _literal(text: str) -> str:
    """Escape percent signs, which argparse would format."""
    return text.replace("%", "%%")
