"""`brats-mm demo`: generate a synthetic head, drop sequences, segment the rest."""

import argparse
from pathlib import Path

from brats_mm.cli.command import EXIT_OK, Commands, add_command
from brats_mm.cli.options.common import add_terminal_options
from brats_mm.cli.options.generate import add_options, build_options
from brats_mm.cli.options.request import load_segmenter
from brats_mm.cli.output import Console
from brats_mm.cli.result import print_result
from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.options import ModelOptions
from brats_mm.errors import OptionError


def add(commands: Commands) -> None:
    """Add `brats-mm demo`."""
    parser = add_command(
        commands,
        "demo",
        run,
        help="generate a synthetic head with a tumour, drop sequences, and segment the rest",
        description="Generate a synthetic head with a tumour, drop sequences, segment the rest, and compare the result "
        "with the true labels.\n" + NOT_FOR_DIAGNOSIS,
        epilog="example:\n  brats-mm demo -o demo --drop t1 t2",
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("demo"), metavar="OUT", help="folder for all results")
    parser.add_argument(
        "--drop",
        nargs="*",
        choices=[modality.value for modality in MODALITIES],
        default=["t1", "t2"],
        metavar="SEQUENCE",
        help="sequences to drop: any of t1 t1ce t2 flair, but not all",
    )
    parser.add_argument("--seed", type=int, default=7, help="random seed of the head")
    add_options(parser, ModelOptions)
    add_terminal_options(parser, "the report as one JSON document")


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm demo` and return its exit code."""
    from brats_mm.domain.availability import ALL_AVAILABLE, describe

    dropped = frozenset(Modality(name) for name in options.drop)
    if dropped == ALL_AVAILABLE:
        raise OptionError("All four sequences were dropped. Keep at least one.")
    model = build_options(options, ModelOptions)
    console.say(f"Generating a synthetic head (seed {options.seed}) without {describe(dropped)}.")
    segmenter = load_segmenter(model, console)
    from brats_mm.pipeline.demo import run_demo

    with console.progress() as on_progress:
        result = run_demo(options.output, segmenter, dropped=dropped, seed=options.seed, on_progress=on_progress)
    print_result(result.segmented.report, console)
    overlap = ", ".join(f"{region.value.upper()} {value:.2f}" for region, value in result.dice.items())
    console.say(f"\nDice against the true labels: {overlap} (synthetic data, not a measure of the model).")
    console.say(f"The head is in {result.head}. Results and preview.png are in {options.output / 'result'}.")
    console.document(
        {**result.segmented.report, "dice": {region.value: value for region, value in result.dice.items()}}
    )
    return EXIT_OK
