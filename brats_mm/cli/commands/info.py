"""`brats-mm info`: show the model, sequences, regions and labels."""

import argparse
from typing import Any

from brats_mm.cli.command import EXIT_FAULT, EXIT_OK, Commands, add_command
from brats_mm.cli.options.common import add_json_option
from brats_mm.cli.output import Console


def add(commands: Commands) -> None:
    """Add `brats-mm info`."""
    parser = add_command(
        commands,
        "info",
        run,
        help="show the model, sequences, regions and labels",
        description="Show the model, the sequences with their file-name words, the regions, and the label values.",
        epilog="example:\n  brats-mm info --json",
    )
    parser.add_argument("--bundle", metavar="DIR", help="model bundle to describe (default: the installed one)")
    add_json_option(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm info` and return its exit code."""
    from brats_mm.pipeline.info import describe_installation

    installation = describe_installation(options.bundle)
    console.result(f"brats-mm {installation['version']}. {installation['disclaimer']}")
    console.result(f"model: {_format_line(installation['model'])}")
    for name, sequence in installation["sequences"].items():
        console.result(f"{name}: files named with {', '.join(sequence['file_name_tokens'])}")
    for name, values in installation["labels"].items():
        console.result(f"labels {name}: {_format_line(values)}")
    console.document(installation)
    return EXIT_FAULT if "error" in installation["model"] else EXIT_OK


def _format_line(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())
