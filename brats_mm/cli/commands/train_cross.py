"""`brats-mm train-cross`: train a cross-sequence expert, and fine-tune the modality experts, for given times."""

import argparse
from pathlib import Path

from brats_mm.cli.command import Commands, add_command
from brats_mm.cli.options.common import add_dataset_dir_option, add_terminal_options
from brats_mm.cli.options.generate import add_options, build_options
from brats_mm.cli.output import Console
from brats_mm.domain.counting import format_count
from brats_mm.errors import OptionError
from brats_mm.training.timed.options import TimedTraining


def add(commands: Commands) -> None:
    """Add `brats-mm train-cross`."""
    parser = add_command(
        commands,
        "train-cross",
        run,
        help="train the cross-sequence expert for a number of minutes",
        description="Pack the cases of a list into small arrays, train a cross-sequence expert at 1 mm for a given "
        "number of minutes, on the GPU if there is one, and join it with the experts of a SimMLM checkpoint, or of an "
        "earlier result with --initial-weights. With --expert-minutes, fine-tune those experts too. Run the same "
        "command again to resume.",
        epilog="example:\n"
        "  brats-mm train-cross datalist.json --dataset-dir CASES --minutes 60 --experts models/model.pt -o OUT\n"
        "  brats-mm bundle create OUT/model.pt -o my_bundle",
    )
    parser.add_argument("datalist", type=Path, metavar="DATALIST", help="list of labelled cases")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder of the training")
    add_dataset_dir_option(parser)
    parser.add_argument("--section", nargs="+", default=["training"], metavar="NAME", help="sections to train on")
    add_options(parser, TimedTraining)
    parser.add_argument(
        "--pretrain-section",
        nargs="+",
        default=[],
        metavar="NAME",
        help="additional sections for the reconstruction, with or without label maps",
    )
    add_terminal_options(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm train-cross` and return its exit code."""
    settings = build_options(options, TimedTraining)
    if options.pretrain_section and settings.pretrain_minutes == 0:
        raise OptionError("--pretrain-section needs --pretrain-minutes. Add it, or omit --pretrain-section.")
    from brats_mm.data.datalist import load_inference_items, load_training_items

    root = options.dataset_dir or options.datalist.parent
    items = [item for name in options.section for item in load_training_items(root, options.datalist, name)]
    unlabelled = [
        item for name in options.pretrain_section for item in load_inference_items(root, options.datalist, section=name)
    ]
    from brats_mm.training.timed.run import train_cross

    checkpoint = train_cross(
        items,
        options.output,
        settings,
        unlabelled=unlabelled,
        on_case=lambda done, total: console.say(f"Packed {done} of {format_count(total, 'case')}."),
    )
    console.say(f"Wrote {checkpoint}.")
    console.document({"checkpoint": str(checkpoint), "cases": len(items)})
    return 0
