"""Options of the commands that write pages for people: `brats-mm report` and `brats-mm card`."""

import argparse
from pathlib import Path

from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS


def add_report(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", formatter: type[argparse.HelpFormatter]
) -> None:
    """Add `report`."""
    parser = commands.add_parser(
        "report",
        help="make a page to read, or to print, of a segmented case",
        description="Make one self-contained HTML page of a segmented case: sequences used and missing, key slices, "
        "volumes with their spread, where to look twice, importance of the sequences, what to expect of them.\n"
        + NOT_FOR_DIAGNOSIS,
        epilog="examples:\n  brats-mm report result --case CASE_FOLDER\n"
        '  brats-mm report result --case CASE_FOLDER --name "Case 7" -o case7.html',
        formatter_class=formatter,
    )
    parser.add_argument("result", type=Path, metavar="RESULT_DIR", help="folder that `brats-mm segment` wrote")
    parser.add_argument(
        "--case", type=Path, metavar="CASE_FOLDER", help="folder of the images, to show them on the page"
    )
    parser.add_argument("--name", metavar="NAME", help="name of the case to put on the page; none otherwise")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="page to write (RESULT_DIR/report.html)")
    parser.add_argument("--overwrite", action="store_true", help="replace a page that is there")
    _add_talk(parser)


def add_card(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", formatter: type[argparse.HelpFormatter]
) -> None:
    """Add `card`."""
    parser = commands.add_parser(
        "card",
        help="bring a bundle's model card up to date with an evaluation",
        description="Write the figures of an evaluation into a bundle: the tables of its model card, and "
        "docs/expected_dice.json, of which every report quotes the row of its sequences. The evaluation must be of the "
        "bundle's own weights.",
        epilog="example:\n  brats-mm evaluate datalist.json --dataset-dir CASES -o evaluation\n"
        "  brats-mm card evaluation --bundle bundles/brats_mm_segmentation",
        formatter_class=formatter,
    )
    parser.add_argument("evaluation", type=Path, metavar="EVALUATION", help="folder that `brats-mm evaluate` wrote")
    parser.add_argument("--bundle", metavar="DIR", help="bundle to write to instead of the one installed")
    _add_talk(parser)


def _add_talk(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output on the terminal")
    group.add_argument("-q", "--quiet", action="store_true", help="say nothing but warnings and errors")
    group.add_argument("--json", action="store_true", help="print one JSON document")
