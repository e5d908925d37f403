"""`brats-mm bundle trust-profile`: fit expected Dice, volume intervals and advice to an evaluation."""

import argparse
from pathlib import Path

from brats_mm.cli.command import Commands, add_command
from brats_mm.cli.options.common import add_terminal_options
from brats_mm.cli.output import Console


def add(commands: Commands) -> None:
    """Add `brats-mm bundle trust-profile`."""
    parser = add_command(
        commands,
        "trust-profile",
        run,
        help="fit expected Dice, volume intervals and advice to an evaluation",
        description="Fit a trust profile to an evaluation and write it into the bundle: the calibration of the "
        "expected Dice of a case, volume intervals, and the gain of each absent sequence (models/trust.json). Measure "
        "it by leave-one-out, and write the figures into the model card, docs/trust_figures.json and, with "
        "--page, the marked tables of a page. The evaluation must use the bundle's weights and temperatures, "
        "on cases that were not used in training.",
        epilog="example:\n  brats-mm evaluate datalist.json --dataset-dir CASES -o evaluation\n"
        "  brats-mm bundle trust-profile evaluation --bundle bundles/brats_mm_segmentation --page docs/trust.md",
    )
    parser.add_argument("evaluation", type=Path, metavar="EVALUATION", help="folder written by `brats-mm evaluate`")
    parser.add_argument("--bundle", metavar="DIR", help="bundle to update (default: the installed one)")
    parser.add_argument("--page", type=Path, metavar="FILE", help="Markdown page whose marked tables to replace")
    add_terminal_options(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm bundle trust-profile` and return its exit code."""
    from brats_mm.evaluation.trust_markdown import render_trust_blocks
    from brats_mm.io.bundle import open_bundle
    from brats_mm.packaging.trust import update_trust

    update = update_trust(options.evaluation, open_bundle(options.bundle), options.page)
    console.say(render_trust_blocks(update.figures, update.profile)["summary"])
    for path in update.files:
        console.say(f"Wrote {path}.")
    console.document({"files": [str(path) for path in update.files], "figures": dict(update.figures)})
    return 0
