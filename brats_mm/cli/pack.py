"""The command `brats-mm pack`."""

import argparse

from brats_mm.cli.output import Console
from brats_mm.errors import OptionError


def pack(options: argparse.Namespace, console: Console) -> int:
    """`brats-mm pack`."""
    from brats_mm.io.bundle import open_bundle
    from brats_mm.io.labelled_cases import labelled_cases

    listed = options.calibrate
    if listed is None and (options.per_subset or options.certainty):
        message = "--per-subset and --certainty are fitted on labelled cases: name their list with --calibrate."
        raise OptionError(message)
    template = open_bundle(options.bundle)
    cases = labelled_cases(listed, dataset_dir=options.dataset_dir, section=options.section) if listed else ()
    from brats_mm.packaging.pack import pack as run
    from brats_mm.trust.calibration import calibrate_certainty, calibrate_subsets
    from brats_mm.trust.calibration_choice import calibrate

    made = run(
        options.checkpoints,
        options.output,
        template,
        version=options.bundle_version,
        configs=options.config,
        calibrate_on=cases,
        fit=calibrate_certainty if options.certainty else calibrate_subsets if options.per_subset else calibrate,
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
                if options.certainty
                else f"mean Dice {100 * gain:+.1f} points by offsets, "
                f"{saved:.3f} nats less a voxel in doubt by temperatures"
            )
            console.say(f"{region.value.upper()}: for each subset, {told}")
    console.say(f"The bundle is in {made.folder}, its weights have the SHA-256 {made.weights_sha256[:12]}...")
    console.document({"folder": str(made.folder), "weights_sha256": made.weights_sha256})
    return 0
