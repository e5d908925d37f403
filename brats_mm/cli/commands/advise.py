"""`brats-mm advise`: show which missing sequence would help most."""

import argparse
from pathlib import Path

from brats_mm.cli.command import EXIT_OK, Commands, add_command
from brats_mm.cli.options.common import add_json_option
from brats_mm.cli.output import Console
from brats_mm.domain.display import format_percents


def add(commands: Commands) -> None:
    """Add `brats-mm advise`."""
    parser = add_command(
        commands,
        "advise",
        run,
        help="show which missing sequence would help most",
        description="Show which missing sequence would raise the expected Dice most, for a segmented case or for a "
        "subset of sequences.",
        epilog="examples:\n  brats-mm advise result\n  brats-mm advise t1+flair",
    )
    parser.add_argument("case", metavar="RESULT_OR_SUBSET", help="folder written by `brats-mm segment`, or t1+flair")
    parser.add_argument(
        "--bundle", metavar="DIR", help="bundle whose scores to use for a subset (default: the installed one)"
    )
    add_json_option(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm advise` and return its exit code."""
    from brats_mm.io.bundle import open_bundle
    from brats_mm.pipeline.advise import advise_result, advise_subset, parse_subset

    path = Path(options.case)
    if path.exists():
        advised = advise_result(path)
    else:
        advised = advise_subset(parse_subset(options.case), open_bundle(options.bundle))
    console.result(advised["advice"])
    for added, regions in advised["expected_gains"].items():
        parts = (f"{name.upper()} {format_percents((dice['from'], dice['to']))}" for name, dice in regions.items())
        console.result(f"with {added}: {', '.join(parts)}")
    console.document(advised)
    return EXIT_OK
