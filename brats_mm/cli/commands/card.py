"""`brats-mm card`: bring a bundle's model card up to date with an evaluation."""

import argparse
from pathlib import Path

from brats_mm.cli.command import Commands, add_command, add_terminal_options
from brats_mm.cli.output import Console


def add(commands: Commands) -> None:
    """Add `brats-mm card`."""
    parser = add_command(
        commands,
        "card",
        run,
        help="bring a bundle's model card up to date with an evaluation",
        description="Write the figures of an evaluation into a bundle: the tables of its model card, and "
        "docs/expected_dice.json, of which every report quotes the row of its sequences. The evaluation must be of the "
        "bundle's own weights.",
        epilog="example:\n  brats-mm evaluate datalist.json --dataset-dir CASES -o evaluation\n"
        "  brats-mm card evaluation --bundle bundles/brats_mm_segmentation",
    )
    parser.add_argument("evaluation", type=Path, metavar="EVALUATION", help="folder that `brats-mm evaluate` wrote")
    parser.add_argument("--bundle", metavar="DIR", help="bundle to write to instead of the one installed")
    add_terminal_options(parser, "one JSON document")


def run(options: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    from brats_mm.io.bundle import open_bundle
    from brats_mm.packaging.card import update_card

    made = update_card(options.evaluation, open_bundle(options.bundle))
    console.say(f"{made.card} and {made.expected_dice} have the figures of {made.cases} cases, {made.subsets} subsets.")
    console.document(
        {
            "card": str(made.card),
            "expected_dice": str(made.expected_dice),
            "cases": made.cases,
            "subsets": made.subsets,
        }
    )
    return 0
