"""The command `brats-mm archive`."""

import argparse

from brats_mm.cli.output import Console


def archive(options: argparse.Namespace, console: Console) -> int:
    """`brats-mm archive`."""
    from brats_mm.io.bundle import open_bundle
    from brats_mm.packaging.archive import archive_bundle

    made = archive_bundle(open_bundle(options.bundle), options.output, overwrite=options.overwrite)
    console.say(
        f"{made.path}: {made.files} files, SHA-256 {made.sha256[:12]}..., which stands in {made.path.name}.sha256."
    )
    console.document({"path": str(made.path), "sha256": made.sha256, "files": made.files})
    return 0
