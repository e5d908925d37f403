"""The command `brats-mm datalist`."""

import argparse
from dataclasses import asdict

from brats_mm.cli.output import Console


def datalist(options: argparse.Namespace, console: Console) -> int:
    """`brats-mm datalist`."""
    from brats_mm.pipeline.datalists import Division, write_datalists

    division = Division(tuple(options.validation), options.folds, tuple(options.split), options.seed)
    written = write_datalists(options.dataset, options.output, division, overwrite=options.overwrite)
    for made in written:
        counts = ", ".join(f"{count} for {section}" for section, count in made.counts.items())
        console.say(f"{made.path}: {counts}.")
    console.document([{**asdict(made), "path": str(made.path)} for made in written])
    return 0
