"""`brats-mm compare`: compare two evaluations of the same cases."""

import argparse
from pathlib import Path

from brats_mm.cli.command import Commands, add_command
from brats_mm.cli.options.common import add_terminal_options
from brats_mm.cli.output import Console


def add(commands: Commands) -> None:
    """Add `brats-mm compare`."""
    parser = add_command(
        commands,
        "compare",
        run,
        help="compare two evaluations of the same cases",
        description="Compare evaluation B with evaluation A, paired by case, with bootstrap intervals and tests.",
        epilog="example:\n  brats-mm compare evaluation_a evaluation_b -o comparison",
    )
    parser.add_argument("first", type=Path, metavar="A", help="folder of an evaluation")
    parser.add_argument("second", type=Path, metavar="B", help="folder of another evaluation")
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help="folder for the comparison")
    add_terminal_options(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm compare` and return its exit code."""
    from brats_mm.evaluation.compare import compare
    from brats_mm.evaluation.comparison_markdown import render_comparison_markdown

    document = compare(options.first, options.second, options.output)
    console.say(render_comparison_markdown(document))
    console.document(document)
    return 0
