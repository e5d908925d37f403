"""Entry point of `brats-mm`: parse options, run the command, turn errors into messages and exit codes."""

import argparse
import logging
import re
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from io import TextIOWrapper

from brats_mm.cli.command import EXIT_FAULT, EXIT_INPUT, EXIT_INTERRUPTED, Run
from brats_mm.cli.output import Console, finish_output
from brats_mm.cli.parser import make_parser
from brats_mm.cli.system import Terminated, check_address_space, explain_error, silence_libraries, terminate_on_signals
from brats_mm.errors import BratsMMError, InputError

_COMPUTING = frozenset(
    {"segment", "cohort", "demo", "evaluate", "experiment", "serve", "train", "train-cross", "cross-validate"}
) | {"bundle create"}
"""Commands that load a network."""

_EMPTY_OPTION = re.compile(r"--[a-z0-9-]+=\s*")
"""An option without its value. An empty path would mean the current folder."""

_OWN_SIGNALS = frozenset({"serve"})
"""Commands that handle signals themselves."""


def entry() -> None:
    """Run the console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # escape characters that the terminal cannot display
            stream.reconfigure(errors="backslashreplace")
    try:
        code = main()
    finally:
        finish_output()
    sys.exit(code)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = make_parser()
    options = parser.parse_args(arguments)
    if any(not argument.strip() or _EMPTY_OPTION.fullmatch(argument) for argument in arguments):
        parser.error("an argument is empty. Check that the variables in the command line are set.")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Known errors do not print a traceback."""
    options = _parse(sys.argv[1:] if arguments is None else list(arguments))
    console = Console(quiet=getattr(options, "quiet", False), as_json=options.json)
    if getattr(options, "verbose", False):
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    run: Run = options.handler
    if console.quiet:
        silence_libraries()
    try:
        if f"{options.command} {getattr(options, 'action', '')}".strip() in _COMPUTING:
            check_address_space()
        with nullcontext() if options.command in _OWN_SIGNALS else terminate_on_signals():
            return run(options, console)
    except InputError as error:
        console.error(str(error))
        return EXIT_INPUT
    except BratsMMError as error:
        console.error(str(error))
        return EXIT_FAULT
    except Terminated as signal:
        console.error("Terminated by a signal. Nothing was written.")
        return signal.exit_code
    except KeyboardInterrupt:
        console.error("Interrupted. Nothing was written.")
        return EXIT_INTERRUPTED
    except Exception as error:
        message = explain_error(error)
        if message is None:
            raise
        console.error(message[0])
        return message[1]
