"""The command `brats-mm`: parse the options, run the command, turn errors into messages and exit codes."""

import sys
from collections.abc import Sequence

from brats_mm.cli.command import EXIT_FAULT, EXIT_INPUT, EXIT_INTERRUPTED, Run
from brats_mm.cli.output import Console
from brats_mm.cli.parser import make_parser
from brats_mm.errors import BratsMMError, InputError


def entry() -> None:
    """What the console script calls."""
    sys.exit(main())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. No error of ours ends in a traceback."""
    options = make_parser().parse_args(arguments)
    console = Console(quiet=getattr(options, "quiet", False), as_json=options.json)
    run: Run = options.run
    try:
        return run(options, console)
    except InputError as error:
        console.error(str(error))
        return EXIT_INPUT
    except BratsMMError as error:
        console.error(str(error))
        return EXIT_FAULT
    except KeyboardInterrupt:
        console.error("Interrupted; nothing was written.")
        return EXIT_INTERRUPTED
