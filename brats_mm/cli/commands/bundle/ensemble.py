"""`brats-mm bundle ensemble`: create a bundle that averages several bundles."""

import argparse
from pathlib import Path

from brats_mm.cli.command import Commands, add_command
from brats_mm.cli.options.common import TRUST, add_terminal_options
from brats_mm.cli.output import Console


def add(commands: Commands) -> None:
    """Add `brats-mm bundle ensemble`."""
    parser = add_command(
        commands,
        "ensemble",
        run,
        help="create a bundle that averages several bundles",
        description="Create a bundle whose network is the mean of the logits of several bundles, such as those of the "
        "folds of a cross-validation. It needs as much time and memory as all of them together, and reports no "
        "modality weights.",
        epilog="example:\n  brats-mm bundle ensemble OUT/fold0/bundle OUT/fold1/bundle -o my_ensemble",
    )
    parser.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE", help="folder of a bundle")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the bundle")
    parser.add_argument("--bundle-version", default="0.1.0", metavar="VERSION", help="version of the new bundle")
    parser.add_argument("--trust-bundle", action="store_true", help=TRUST)
    add_terminal_options(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm bundle ensemble` and return its exit code."""
    from brats_mm.io.bundle import open_bundle
    from brats_mm.io.bundle_trust import check_configs
    from brats_mm.packaging.ensemble import create_ensemble

    members = [open_bundle(path) for path in options.bundles]
    if not options.trust_bundle:
        for member in members:
            check_configs(member)
    created = create_ensemble(members, options.output, version=options.bundle_version, trusted=options.trust_bundle)
    console.say(f"Wrote {created.folder}. The weights have the SHA-256 {created.weights_sha256[:12]}...")
    console.document({"folder": str(created.folder), "weights_sha256": created.weights_sha256})
    return 0
