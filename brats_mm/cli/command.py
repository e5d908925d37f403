"""Helpers shared by all commands: registration with the parser, exit codes, common options, bundle and service."""

import argparse
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from brats_mm.cli.output import Console
from brats_mm.errors import OptionError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Run: TypeAlias = Callable[[argparse.Namespace, Console], int]

EXIT_OK, EXIT_FAULT, EXIT_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130
"""Exit codes: success, error of the machine or installation, invalid input or option, stopped with Ctrl-C."""


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Format help: wrap paragraphs to the terminal width, keep line breaks in examples, and show defaults."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Wrap each line of a description or epilog, but not indented ones, which are commands to copy."""
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


def add_terminal_options(parser: argparse.ArgumentParser, document: str = "one JSON document") -> None:
    """Add `--quiet`, `--verbose` and `--json`. `document` describes the output of `--json`."""
    group = parser.add_argument_group("terminal output")
    group.add_argument("-q", "--quiet", action="store_true", help="print only warnings and errors")
    group.add_argument("-v", "--verbose", action="store_true", help="also print the library's log")
    group.add_argument("--json", action="store_true", help=f"print {document}")


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add `--json` to a command that always prints its results."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


if TYPE_CHECKING:
    from brats_mm.io.bundle import Bundle

TRUST = "run a bundle whose configs contain code that is not part of an installed bundle"


def add_bundle_options(parser: argparse.ArgumentParser, help: str) -> None:
    """Add `--bundle` and `--trust-bundle`.

    Args:
        parser: parser to add them to.
        help: help text of `--bundle`.
    """
    parser.add_argument("--bundle", metavar="DIR", help=help)
    parser.add_argument("--trust-bundle", action="store_true", help=TRUST)


def selected_bundle(options: argparse.Namespace) -> "Bundle":
    """Return the bundle selected by the options.

    Raises:
        BundleError: the bundle does not exist, or its configs contain unknown code without --trust-bundle.
    """
    from brats_mm.io.bundle import open_bundle
    from brats_mm.io.bundle_trust import check_configs

    bundle = open_bundle(options.bundle)
    if not options.trust_bundle:
        check_configs(bundle)
    return bundle


def add_data_option(parser: argparse.ArgumentParser, text: str) -> None:
    """Add `--data`, the folder of all service data, with the given help text."""
    parser.add_argument("--data", type=Path, default=Path("brats-mm-data"), metavar="DIR", help=text)


def service_package() -> Any:
    """Import the service, whose dependencies are optional.

    Raises:
        OptionError: the dependencies are not installed.
    """
    try:
        from brats_mm_service import server
    except ImportError as error:
        raise OptionError(
            f'The service needs {error.name}, which is not installed. Run: pip install "brats-mm[service]"'
        ) from error
    return server
