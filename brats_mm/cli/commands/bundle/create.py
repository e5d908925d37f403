"""`brats-mm bundle create`: create a bundle from a trained checkpoint."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from brats_mm.cli.command import Commands, add_command
from brats_mm.cli.options.common import (
    add_bundle_options,
    add_dataset_dir_option,
    add_terminal_options,
    open_selected_bundle,
)
from brats_mm.cli.output import Console
from brats_mm.errors import OptionError

if TYPE_CHECKING:
    from brats_mm.packaging.create import CreatedBundle


def add(commands: Commands) -> None:
    """Add `brats-mm bundle create`."""
    parser = add_command(
        commands,
        "create",
        run,
        help="create a bundle from a trained checkpoint",
        description="Create a bundle from a trained checkpoint. The bundle contains the weights in half precision with "
        "their hash, the configs of the training, and a model card to complete. --calibrate fits a constant offset of "
        "each region's logits to labelled cases.",
        epilog="example:\n  brats-mm bundle create models/model.pt -o my_segmentation --calibrate CASES/datalist.json",
    )
    parser.add_argument(
        "checkpoints",
        nargs="+",
        type=Path,
        metavar="CHECKPOINT",
        help="model.pt of a training run. Several related checkpoints are averaged",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the bundle")
    add_bundle_options(parser, "bundle to take the configs from (default: the installed one)")
    parser.add_argument(
        "--config",
        nargs="*",
        default=[],
        metavar="NAME",
        help="configs that the training used on top of train.json: names such as mmp, or files",
    )
    parser.add_argument("--bundle-version", default="0.1.0", metavar="VERSION", help="version of the new bundle")
    parser.add_argument("--calibrate", type=Path, metavar="DATALIST", help="labelled cases to calibrate on")
    fit = parser.add_mutually_exclusive_group()
    fit.add_argument(
        "--per-subset",
        action="store_true",
        help="with --calibrate: fit an offset and a temperature per subset, stored with the weights",
    )
    fit.add_argument(
        "--calibrate-confidence",
        action="store_true",
        help="with --calibrate: fit a foreground temperature per subset and region, without changing the segmentation",
    )
    add_dataset_dir_option(parser)
    parser.add_argument("--section", default="validation", help="section of the list")
    add_terminal_options(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm bundle create` and return its exit code."""
    from brats_mm.io.labelled_cases import list_labelled_cases
    from brats_mm.training.two_stages import find_config

    datalist = options.calibrate
    if datalist is None and (options.per_subset or options.calibrate_confidence):
        raise OptionError(
            "--per-subset and --calibrate-confidence need labelled cases. Provide their list with --calibrate."
        )
    if datalist is None and (options.dataset_dir is not None or options.section != "validation"):
        raise OptionError("--dataset-dir and --section choose the cases of --calibrate. Add it, or omit them.")
    template = open_selected_bundle(options)
    configs = [find_config(name, template.root / "configs") for name in options.config]
    cases = list_labelled_cases(datalist, dataset_dir=options.dataset_dir, section=options.section) if datalist else ()
    from brats_mm.packaging.create import create_bundle
    from brats_mm.trust.calibration import calibrate_confidence, calibrate_subsets
    from brats_mm.trust.calibration_choice import calibrate

    fit = calibrate_subsets if options.per_subset else calibrate
    created = create_bundle(
        options.checkpoints,
        options.output,
        template,
        version=options.bundle_version,
        configs=configs,
        calibrate_on=cases,
        fit=calibrate_confidence if options.calibrate_confidence else fit,
        on_case=lambda done, total, name: console.say(f"{done} of {total}: {name}"),
    )
    _print_calibration(created, console, confidence=options.calibrate_confidence)
    console.say(f"Wrote {created.folder}. The weights have the SHA-256 {created.weights_sha256[:12]}...")
    console.document({"folder": str(created.folder), "weights_sha256": created.weights_sha256})
    return 0


def _print_calibration(created: "CreatedBundle", console: Console, *, confidence: bool) -> None:
    if created.calibration is not None:
        for region, offset in created.calibration.offsets.items():
            gain, left_out = created.calibration.gains[region], created.calibration.left_out_gains.get(region)
            cross_validated = "" if left_out is None else f" ({100 * left_out:+.1f} in cross-validation)"
            console.say(
                f"{region.value.upper()}: logits {'lowered' if offset >= 0 else 'raised'} by {abs(offset):.2f}, "
                f"mean Dice {100 * gain:+.1f} points{cross_validated}"
            )
    if created.subsets is not None:
        for region, gain in created.subsets.dice_gains.items():
            saved = f"{created.subsets.saved_nats[region]:.3f} nats per voxel"
            effect = (
                f"cross-entropy inside the outline lower by {saved}, outline unchanged"
                if confidence
                else f"mean Dice {100 * gain:+.1f} points, cross-entropy of uncertain voxels lower by {saved}"
            )
            console.say(f"{region.value.upper()}, per subset: {effect}")
