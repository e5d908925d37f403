"""Registration of commands with the parser, and exit codes."""

import argparse
import textwrap
from collections.abc import Callable
from typing import TypeAlias

from brats_mm.cli.output import Console

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Run: TypeAlias = Callable[[argparse.Namespace, Console], int]

EXIT_OK, EXIT_FAULT, EXIT_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130
"""Exit codes: success, error of the machine or installation, invalid input or option, stopped with Ctrl-C."""


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Format help: wrap paragraphs to the terminal width, keep line breaks in examples, and show defaults."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Wrap the lines of a description or epilog, except indented ones, which are commands to copy."""
        lines = [
            line if line.startswith(" ") else textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
            for line in text.splitlines()
        ]
        return "\n".join(lines)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, "") or action.nargs == 0 or (action.nargs and not action.default):
            return action.help
        return super()._get_help_string(action)


def add_command(
    commands: Commands, name: str, run: Run, *, help: str, description: str, epilog: str
) -> argparse.ArgumentParser:
    """Add a command to the parser of `brats-mm`.

    Args:
        commands: subparsers to add to.
        name: name of the command.
        run: function that runs the command with its parsed options and returns the exit code.
        help: one line for the list of commands.
        description: description for the command's own help.
        epilog: examples.

    Returns:
        The command's parser, to add its options to.
    """
    parser = commands.add_parser(name, help=help, description=description, epilog=epilog, formatter_class=HelpFormatter)
    parser.set_defaults(handler=run)
    return parser
