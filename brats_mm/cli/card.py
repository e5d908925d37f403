"""The command `brats-mm card`."""

import argparse

from brats_mm.cli.output import Console


def card(options: argparse.Namespace, console: Console) -> int:
    """`brats-mm card`."""
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
