"""The model options of the command line, turned into a loaded model."""

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from brats_mm.cli.output import Console
from brats_mm.errors import OptionError

if TYPE_CHECKING:
    from brats_mm.pipeline.segment import Segmenter


def load_segmenter(options: argparse.Namespace, console: Console) -> "Segmenter":
    """Check the options, then load the model; heavy imports start here."""
    check_windows(options)
    side, overlap = options.window, options.overlap
    console.say("Loading the model.")
    from brats_mm.inference.engine import NAMED
    from brats_mm.pipeline.segment import Segmenter

    settings = replace(
        NAMED[options.point],
        window=(side, side, side),
        overlap=overlap,
        keep_weight_maps=getattr(options, "importance_maps", options.command == "demo"),
    )
    segmenter = Segmenter.from_bundle(options.bundle, device=options.device, backend=options.backend, settings=settings)
    backend = segmenter.predictor.backend
    if backend is not None:
        console.say(f"The network runs in {backend.name}, {backend.precision}, on {backend.device}.")
    return segmenter


def check_windows(options: argparse.Namespace) -> None:
    """Raise OptionError unless the options describe windows that the network takes."""
    side, overlap = options.window, options.overlap
    if side < 64 or side % 32:
        message = f"The window side is {side}; it must be a multiple of 32, and at least 64."
        raise OptionError(message)
    if not 0 <= overlap <= 0.9:
        message = f"The overlap is {overlap}; it must be from 0 to 0.9."
        raise OptionError(message)
