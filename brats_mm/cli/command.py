"""What every command has: its entry in the parser, its exit codes, its options for the terminal."""

import argparse
from collections.abc import Callable
from typing import TypeAlias

from brats_mm.cli.output import Console

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Run: TypeAlias = Callable[[argparse.Namespace, Console], int]

EXIT_OK, EXIT_FAULT, EXIT_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130
"""Done; this machine or installation is at fault; the input or an option is; stopped with Ctrl-C."""


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keep the lines of the examples, and show defaults."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False) or action.nargs == 0:
            return action.help
        return super()._get_help_string(action)


def add_command(
    commands: Commands, name: str, run: Run, *, help: str, description: str, epilog: str
) -> argparse.ArgumentParser:
    """Add a command to the parser.

    Args:
        commands: of the whole parser.
        name: what a user types.
        run: runs the command with its parsed options, and returns the exit code.
        help: one line, for the list of commands.
        description: what the command does, for its own help.
        epilog: examples.

    Returns:
        The parser of the command, for its options.
    """
    parser = commands.add_parser(name, help=help, description=description, epilog=epilog, formatter_class=HelpFormatter)
    parser.set_defaults(run=run)
    return parser


def add_terminal_options(parser: argparse.ArgumentParser, document: str = "the report as one JSON document") -> None:
    """Add `--quiet`, `--verbose` and `--json`; `document` says what the JSON is."""
    group = parser.add_argument_group("output on the terminal")
    group.add_argument("-q", "--quiet", action="store_true", help="say nothing but warnings and errors")
    group.add_argument("-v", "--verbose", action="store_true", help="also print the log of the library")
    group.add_argument("--json", action="store_true", help=f"print {document}")


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add `--json`, for a command that prints its results anyway."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")
