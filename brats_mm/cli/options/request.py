"""Command-line options of a request. Imports nothing heavy."""

import argparse
from typing import TYPE_CHECKING

from brats_mm.cli.output import Console
from brats_mm.domain.modality import MODALITIES
from brats_mm.domain.options import ModelOptions
from brats_mm.domain.sequence_names import parse_modality

if TYPE_CHECKING:
    from brats_mm.pipeline.load import Loaded
    from brats_mm.pipeline.segmenter import Segmenter

_SEQUENCE_ALIASES = ("t1n", "t1c", "t2w", "t2f")


def add_sequence_options(parser: argparse.ArgumentParser, metavar: str, help: str) -> None:
    """Add an option with its alias for each sequence. `help` describes its value.

    Args:
        parser: parser of a command.
        metavar: name of the value in the help.
        help: help text. `{sequence}` stands for the name of the sequence.
    """
    for modality in MODALITIES:
        aliases = [f"--{name}" for name in _SEQUENCE_ALIASES if parse_modality(name) is modality]
        parser.add_argument(f"--{modality.value}", *aliases, metavar=metavar, help=help.format(sequence=modality.label))


def collect_sequence_options(options: argparse.Namespace) -> dict[str, str]:
    """Return the given values of the sequence options."""
    values = {modality.value: getattr(options, modality.value) for modality in MODALITIES}
    return {name: value for name, value in values.items() if value is not None}


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
    from brats_mm.domain.availability import describe, sort_modalities

    files = loaded.files
    if files is None:
        return
    for modality in sort_modalities(files.paths):
        console.say(f"found    {modality.label}: {files.paths[modality]}")
    if files.missing:
        console.say(f"missing  {describe(files.missing)}")
    for name, reason in files.ignored.items():
        console.say(f"ignored  {name}: {reason}")
    for note in files.notes:
        console.warn(note)
