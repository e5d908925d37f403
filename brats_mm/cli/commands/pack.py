"""`brats-mm pack`: make a bundle of a trained checkpoint."""

import argparse
from pathlib import Path

from brats_mm.cli.command import Commands, add_command, add_terminal_options
from brats_mm.cli.output import Console
from brats_mm.errors import OptionError


def add(commands: Commands) -> None:
    """Add `brats-mm pack`."""
    parser = add_command(
        commands,
        "pack",
        run,
        help="make a bundle of a trained checkpoint",
        description="Make a bundle of a trained checkpoint: weights in half precision with their hash, the configs "
        "that they were trained with, and a model card to complete. --calibrate chooses a constant for each region's "
        "logits on labelled cases.",
        epilog="example:\n  brats-mm pack models/model.pt -o my_segmentation --calibrate CASES/datalist.json",
    )
    parser.add_argument(
        "checkpoints",
        nargs="+",
        type=Path,
        metavar="CHECKPOINT",
        help="model.pt of a training; of several, one trained on from the other, the mean of each weight",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the bundle")
    parser.add_argument("--bundle", metavar="DIR", help="bundle whose configs to take instead of the one installed")
    parser.add_argument(
        "--config",
        nargs="*",
        type=Path,
        default=[],
        metavar="FILE",
        help="configs that the training had over train.json, such as configs/methods/mmp.json",
    )
    parser.add_argument("--bundle-version", default="0.1.0", metavar="VERSION", help="of the new bundle")
    parser.add_argument("--calibrate", type=Path, metavar="DATALIST", help="labelled cases that choose the constants")
    way = parser.add_mutually_exclusive_group()
    way.add_argument(
        "--per-subset",
        action="store_true",
        help="with --calibrate: an offset and a temperature for each subset, kept beside the weights",
    )
    way.add_argument(
        "--calibrate-confidence",
        action="store_true",
        help="with --calibrate: fit a foreground temperature per subset and region; the segmentation is unchanged",
    )
    parser.add_argument("--dataset-dir", type=Path, metavar="DIR", help="where the list's paths start (its own folder)")
    parser.add_argument("--section", default="validation", help="section of the list")
    add_terminal_options(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    from brats_mm.io.bundle import open_bundle
    from brats_mm.io.labelled_cases import labelled_cases

    listed = options.calibrate
    if listed is None and (options.per_subset or options.calibrate_confidence):
        message = (
            "--per-subset and --calibrate-confidence are fitted on labelled cases: name their list with --calibrate."
        )
        raise OptionError(message)
    template = open_bundle(options.bundle)
    cases = labelled_cases(listed, dataset_dir=options.dataset_dir, section=options.section) if listed else ()
    from brats_mm.packaging.pack import pack
    from brats_mm.trust.calibration import calibrate_certainty, calibrate_subsets
    from brats_mm.trust.calibration_choice import calibrate

    made = pack(
        options.checkpoints,
        options.output,
        template,
        version=options.bundle_version,
        configs=options.config,
        calibrate_on=cases,
        fit=calibrate_certainty
        if options.calibrate_confidence
        else calibrate_subsets
        if options.per_subset
        else calibrate,
        on_case=lambda done, total, name: console.say(f"{done} of {total}: {name}"),
    )
    if made.calibration is not None:
        for region, offset in made.calibration.offsets.items():
            gain, left_out = 100 * made.calibration.gains[region], made.calibration.left_out_gains.get(region)
            others = "" if left_out is None else f", of cases left out of the choice {100 * left_out:+.1f}"
            console.say(f"{region.value.upper()}: {offset:+.2f} off the logits, mean Dice {gain:+.1f} points{others}")
    if made.subsets is not None:
        for region, gain in made.subsets.dice_gains.items():
            saved = made.subsets.saved_nats[region]
            told = (
                f"{saved:.3f} nats less a voxel of what is called it; outlines stay"
                if options.calibrate_confidence
                else f"mean Dice {100 * gain:+.1f} points by offsets, "
                f"{saved:.3f} nats less a voxel in doubt by temperatures"
            )
            console.say(f"{region.value.upper()}: for each subset, {told}")
    console.say(f"The bundle is in {made.folder}, its weights have the SHA-256 {made.weights_sha256[:12]}...")
    console.document({"folder": str(made.folder), "weights_sha256": made.weights_sha256})
    return 0
