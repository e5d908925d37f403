"""`brats-mm archive`: zip a bundle to publish it."""

import argparse
from pathlib import Path

from brats_mm.cli.command import Commands, add_command, add_terminal_options
from brats_mm.cli.output import Console


def add(commands: Commands) -> None:
    """Add `brats-mm archive`."""
    parser = add_command(
        commands,
        "archive",
        run,
        help="zip a bundle to publish it",
        description="Zip a bundle to publish it: NAME_vVERSION.zip with the hash of every file inside, its own hash "
        "beside it. The same bundle gives the same bytes.",
        epilog="example:\n  brats-mm archive my_segmentation -o release",
    )
    parser.add_argument("bundle", nargs="?", metavar="BUNDLE", help="its folder; the one installed if none is named")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder for the archive")
    parser.add_argument("--overwrite", action="store_true", help="replace an archive that is there")
    add_terminal_options(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    from brats_mm.io.bundle import open_bundle
    from brats_mm.packaging.archive import archive_bundle

    made = archive_bundle(open_bundle(options.bundle), options.output, overwrite=options.overwrite)
    console.say(
        f"{made.path}: {made.files} files, SHA-256 {made.sha256[:12]}..., which stands in {made.path.name}.sha256."
    )
    console.document({"path": str(made.path), "sha256": made.sha256, "files": made.files})
    return 0
