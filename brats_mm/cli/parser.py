"""Argument parser of the command line. Imports no heavy libraries, to keep `--help` fast."""

import argparse

from brats_mm import __version__
from brats_mm.cli.command import HelpFormatter
from brats_mm.cli.commands import (
    advise,
    bundle,
    cohort,
    compare,
    cross_validate,
    datalist,
    demo,
    doctor,
    evaluate,
    experiment,
    info,
    inspect,
    report,
    segment,
    serve,
    tables,
    token,
    train,
    train_cross,
)
from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS

COMMANDS = (
    segment,
    cohort,
    inspect,
    demo,
    datalist,
    train,
    cross_validate,
    evaluate,
    compare,
    tables,
    train_cross,
    experiment,
    bundle,
    report,
    advise,
    doctor,
    info,
    serve,
    token,
)
"""Modules of the commands, in the order of the help."""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of `brats-mm`."""
    parser = argparse.ArgumentParser(
        prog="brats-mm",
        description="Segment brain tumours on MRI from any subset of T1, T1ce, T2 and FLAIR.\n" + NOT_FOR_DIAGNOSIS,
        epilog="examples:\n  brats-mm demo -o demo\n  brats-mm segment CASE_FOLDER -o result\n"
        "  brats-mm segment --t1ce a.nii.gz --flair b.nii.gz -o result",
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"brats-mm {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    return parser
