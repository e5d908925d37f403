"""The options of the model, and the loaded model that they describe. No heavy import."""

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from brats_mm.cli.output import Console
from brats_mm.errors import OptionError

if TYPE_CHECKING:
    from brats_mm.pipeline.segment import Segmenter


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add device, bundle, backend and windows."""
    group = parser.add_argument_group("model")
    group.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda or cuda:N")
    group.add_argument("--bundle", metavar="DIR", help="model bundle to use instead of the one installed")
    group.add_argument(
        "--window", type=int, default=128, metavar="VOXELS", help="window side, a multiple of 32 from 64"
    )
    group.add_argument("--overlap", type=float, default=0.5, metavar="SHARE", help="overlap of windows, 0 to 0.9")
    group.add_argument(
        "--backend",
        choices=("auto", "torch", "openvino"),
        default="auto",
        help="what runs the network; auto is openvino on a CPU where it is installed",
    )
    point = group.add_mutually_exclusive_group()
    point.add_argument(
        "--fast",
        dest="point",
        action="store_const",
        const="fast",
        default="default",
        help="cut the margin around the brain closer: four fifths of the time, slightly different outlines",
    )
    point.add_argument(
        "--best",
        dest="point",
        action="store_const",
        const="best",
        help="average with the mirrored brain: twice the time (no better on ten validation cases)",
    )


def load_segmenter(options: argparse.Namespace, console: Console) -> "Segmenter":
    """Check the options, then load the model; heavy imports start here."""
    check_windows(options)
    side, overlap = options.window, options.overlap
    console.say("Loading the model.")
    from brats_mm.inference.engine import PRESETS
    from brats_mm.pipeline.segment import Segmenter

    settings = replace(
        PRESETS[options.point],
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
