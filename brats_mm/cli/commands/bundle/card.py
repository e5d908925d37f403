"""`brats-mm bundle card`: update a bundle's model card from an evaluation."""

import argparse
from pathlib import Path

from brats_mm.cli.command import Commands, add_command
from brats_mm.cli.options.common import add_terminal_options
from brats_mm.cli.output import Console
from brats_mm.domain.counting import format_count


def add(commands: Commands) -> None:
    """Add `brats-mm bundle card`."""
    parser = add_command(
        commands,
        "card",
        run,
        help="update a bundle's model card from an evaluation",
        description="Write the figures of an evaluation into the tables of a bundle's model card and into "
        "docs/expected_dice.json, which reports quote. The evaluation must use the bundle's weights.",
        epilog="example:\n  brats-mm evaluate datalist.json --dataset-dir CASES -o evaluation\n"
        "  brats-mm bundle card evaluation --bundle bundles/brats_mm_segmentation",
    )
    parser.add_argument("evaluation", type=Path, metavar="EVALUATION", help="folder written by `brats-mm evaluate`")
    parser.add_argument("--bundle", metavar="DIR", help="bundle to update (default: the installed one)")
    add_terminal_options(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm bundle card` and return its exit code."""
    from brats_mm.io.bundle import open_bundle
    from brats_mm.packaging.card import update_card

    updated = update_card(options.evaluation, open_bundle(options.bundle))
    console.say(
        f"Updated {updated.card} and {updated.expected_dice} from {format_count(updated.cases, 'case')} and "
        f"{format_count(updated.subsets, 'subset')}."
    )
    console.document(
        {
            "card": str(updated.card),
            "expected_dice": str(updated.expected_dice),
            "cases": updated.cases,
            "subsets": updated.subsets,
        }
    )
    return 0
