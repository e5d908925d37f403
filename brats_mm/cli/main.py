"""The command `brats-mm`: parse the options, run the command, turn errors into messages and exit codes."""

import logging
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from io import TextIOWrapper

from brats_mm.cli.command import EXIT_FAULT, EXIT_INPUT, EXIT_INTERRUPTED, Run
from brats_mm.cli.output import Console, finish_output
from brats_mm.cli.parser import make_parser
from brats_mm.cli.system import Terminated, check_address_space, ended_by_signals, explanation, silence_libraries
from brats_mm.errors import BratsMMError, InputError
from brats_mm.execution.telemetry import switch_off

_COMPUTING = frozenset({"segment", "cohort", "demo", "evaluate", "experiment", "serve"})
"""Commands that load the model."""

_OWN_SIGNALS = frozenset({"serve"})
"""Commands that end on a signal in their own way."""


def entry() -> None:
    """Run the console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # letters that the terminal lacks are escaped, also in the help
            stream.reconfigure(errors="backslashreplace")
    try:
        code = main()
    finally:
        finish_output()
    sys.exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. No error of ours ends in a traceback."""
    options = make_parser().parse_args(arguments)
    console = Console(quiet=getattr(options, "quiet", False), as_json=options.json)
    if getattr(options, "verbose", False):
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    run: Run = options.run
    switch_off()
    if console.quiet:
        silence_libraries()
    try:
        if options.command in _COMPUTING:
            check_address_space()
        with nullcontext() if options.command in _OWN_SIGNALS else ended_by_signals():
            return run(options, console)
    except InputError as error:
        console.error(str(error))
        return EXIT_INPUT
    except BratsMMError as error:
        console.error(str(error))
        return EXIT_FAULT
    except Terminated as signal:
        console.error("Ended by a signal; nothing was written.")
        return signal.exit_code
    except KeyboardInterrupt:
        console.error("Interrupted; nothing was written.")
        return EXIT_INTERRUPTED
    except Exception as error:
        told = explanation(error)
        if told is None:
            raise
        console.error(told[0])
        return told[1]
