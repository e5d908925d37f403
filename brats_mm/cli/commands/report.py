"""`brats-mm report`: write an HTML page about a segmented case."""

import argparse
from pathlib import Path

from brats_mm.cli.command import Commands, add_command
from brats_mm.cli.options.common import add_terminal_options
from brats_mm.cli.output import Console
from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS


def add(commands: Commands) -> None:
    """Add `brats-mm report`."""
    parser = add_command(
        commands,
        "report",
        run,
        help="write an HTML page about a segmented case",
        description="Write one self-contained HTML page about a segmented case: sequences used and missing, key "
        "slices, volumes with their intervals, regions to review, importance of the sequences, expected accuracy.\n"
        + NOT_FOR_DIAGNOSIS,
        epilog="examples:\n  brats-mm report result --case CASE\n"
        '  brats-mm report result --case CASE --name "Case 7" -o case7.html',
    )
    parser.add_argument("result", type=Path, metavar="RESULT_DIR", help="folder written by `brats-mm segment`")
    parser.add_argument(
        "--case",
        type=Path,
        metavar="CASE",
        help="the segmented case, prepared or raw, whose images to show on the page",
    )
    parser.add_argument("--name", metavar="NAME", help="case name to print on the page (default: no name)")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="page to write (default: RESULT_DIR/report.html)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing page")
    add_terminal_options(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm report` and return its exit code."""
    from brats_mm.pipeline.report import write_report

    page = write_report(
        options.result, options.output, case=options.case, name=options.name, overwrite=options.overwrite
    )
    console.say(f"Wrote {page}. Open it in a browser, and print it from there for a PDF.")
    if options.case is None:
        console.say("Provide the segmented case with --case to show the outlines on its images.")
    console.document({"page": str(page)})
    return 0
