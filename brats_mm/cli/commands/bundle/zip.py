"""`brats-mm bundle zip`: zip a bundle for publishing."""

import argparse
from pathlib import Path

from brats_mm.cli.command import Commands, add_command
from brats_mm.cli.options.common import add_terminal_options
from brats_mm.cli.output import Console


def add(commands: Commands) -> None:
    """Add `brats-mm bundle zip`."""
    parser = add_command(
        commands,
        "zip",
        run,
        help="zip a bundle for publishing",
        description=(
            "Write NAME_vVERSION.zip with the hash of every file, and a separate file with the hash of the zip. "
            "Equal bundles give identical zips."
        ),
        epilog="example:\n  brats-mm bundle zip my_segmentation -o release",
    )
    parser.add_argument("bundle", nargs="?", metavar="BUNDLE", help="folder of the bundle (default: the installed one)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder for the zip")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing zip")
    add_terminal_options(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm bundle zip` and return its exit code."""
    from brats_mm.io.bundle import open_bundle
    from brats_mm.packaging.zip import zip_bundle

    zipped = zip_bundle(open_bundle(options.bundle), options.output, overwrite=options.overwrite)
    console.say(f"Wrote {zipped.path} with {zipped.files} files, and its SHA-256 in {zipped.path.name}.sha256.")
    console.document({"path": str(zipped.path), "sha256": zipped.sha256, "files": zipped.files})
    return 0
