"""`brats-mm train-cross`: train a cross-sequence expert, and fine-tune the modality experts, for given times."""

import argparse
from pathlib import Path

from brats_mm.cli.command import Commands, add_command
from brats_mm.cli.options.common import add_terminal_options
from brats_mm.cli.output import Console
from brats_mm.errors import OptionError

_SMALLEST_EXPERT_SIDE = 96
"""Smallest crop for fine-tuning experts. In smaller crops, their coarsest level has one voxel and no finite gradient.
"""


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
        epilog="example:\n  brats-mm train-cross datalist.json --dataset-dir CASES --minutes 60 -o OUT\n"
        "  brats-mm bundle create OUT/model.pt --config configs/methods/cross_sequence.json -o my_bundle",
    )
    parser.add_argument("datalist", type=Path, metavar="DATALIST", help="list of labelled cases")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder of the training")
    parser.add_argument(
        "--dataset-dir",
        type=Path,
        metavar="DIR",
        help="folder that the list's paths are relative to (default: folder of the list)",
    )
    parser.add_argument("--section", nargs="+", default=["training"], metavar="NAME", help="sections to train on")
    parser.add_argument("--minutes", type=float, default=60.0, help="training time over all runs of the command")
    parser.add_argument(
        "--expert-minutes", type=float, default=0.0, metavar="MINUTES", help="time to fine-tune the modality experts"
    )
    parser.add_argument(
        "--initial-weights", type=Path, metavar="FILE", help="model.pt of an earlier result to continue from"
    )
    parser.add_argument("--experts", type=Path, metavar="FILE", help="SimMLM checkpoint to join the new expert with")
    parser.add_argument(
        "--joint-shares",
        nargs=3,
        type=float,
        default=(0.8, 0.7, 0.8),
        metavar=("WT", "TC", "ET"),
        help="weight of the new expert for each region, between 0 and 1",
    )
    parser.add_argument(
        "--distill",
        type=float,
        default=0.0,
        metavar="WEIGHT",
        help="weight of the distillation from the view with all sequences to the drawn view (default: 0, off)",
    )
    parser.add_argument(
        "--inside-weight",
        type=float,
        default=0.0,
        metavar="WEIGHT",
        help="weight of the cross-entropy of TC and ET inside the tumour in views with T1ce, which penalises false "
        "enhancement (default: 0, off)",
    )
    parser.add_argument(
        "--enhancement-boost",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help="draw cases with a tumour core and less than 5 mL of enhancing tumour this many times as often, in "
        "views with T1ce, at least 1 (default: 1)",
    )
    parser.add_argument(
        "--intensity-changes",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help="factor of the probabilities of intensity augmentation, 0 to 1 (default: 1)",
    )
    parser.add_argument(
        "--pretrain-minutes",
        type=float,
        default=0.0,
        metavar="MINUTES",
        help="time for masked reconstruction before the training (default: 0, off)",
    )
    parser.add_argument(
        "--pretrain-section",
        nargs="+",
        default=[],
        metavar="NAME",
        help="additional sections for the reconstruction, with or without label maps",
    )
    parser.add_argument("--side", type=int, metavar="VOXELS", help="side of the crops (default: 80, later 96)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    parser.add_argument("--seed", type=int, default=1, help="random seed")
    add_terminal_options(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm train-cross` and return its exit code."""
    _check(options)
    _check_additions(options)
    from brats_mm.data.datalist import inference_items, training_items

    root = options.dataset_dir or options.datalist.parent
    items = [item for name in options.section for item in training_items(root, options.datalist, name)]
    unlabelled = [
        item for name in options.pretrain_section for item in inference_items(root, options.datalist, section=name)
    ]
    from brats_mm.training.timed.run import TimedTraining, train_cross

    checkpoint = train_cross(
        items,
        options.output,
        TimedTraining(
            minutes=options.minutes,
            side=options.side,
            threads=options.threads,
            seed=options.seed,
            expert_minutes=options.expert_minutes,
            initial=options.initial_weights,
            experts=options.experts,
            joint_shares=tuple(options.joint_shares),
            distillation=options.distill,
            inside_weight=options.inside_weight,
            enhancement_boost=options.enhancement_boost,
            intensity_changes=options.intensity_changes,
            pretrain_minutes=options.pretrain_minutes,
        ),
        unlabelled=unlabelled,
        on_case=lambda done, total: console.say(f"Packed {done} of {total} cases."),
    )
    console.say(f"Wrote {checkpoint}.")
    console.document({"checkpoint": str(checkpoint), "cases": len(items)})
    return 0


def _check(options: argparse.Namespace) -> None:
    if options.minutes <= 0:
        raise OptionError(f"--minutes is {options.minutes:g}. Use a positive number.")
    if options.expert_minutes < 0:
        raise OptionError(f"--expert-minutes is {options.expert_minutes:g}. Use 0 or a positive number.")
    if options.expert_minutes > 0 and options.side is not None and options.side < _SMALLEST_EXPERT_SIDE:
        raise OptionError(
            f"--side is {options.side}. Fine-tuning the modality experts needs at least {_SMALLEST_EXPERT_SIDE}."
        )
    if options.expert_minutes > 0 and options.initial_weights is None and options.experts is None:
        raise OptionError("--expert-minutes needs experts to fine-tune. Add --initial-weights or --experts.")
    if options.initial_weights is not None and options.experts is not None:
        raise OptionError("--initial-weights and --experts are mutually exclusive. Set at most one of them.")
    if not all(0 < share < 1 for share in options.joint_shares):
        raise OptionError(f"--joint-shares are {options.joint_shares}. Use three numbers between 0 and 1.")
    if options.side is not None and (options.side < 48 or options.side % 16):
        raise OptionError(f"--side is {options.side}. Use a multiple of 16, at least 48.")
    for name, path in (("--experts", options.experts), ("--initial-weights", options.initial_weights)):
        if path is not None and not path.is_file():
            raise OptionError(f"{name} is {path}, which does not exist. Provide a checkpoint.")


def _check_additions(options: argparse.Namespace) -> None:
    if options.distill < 0 or options.pretrain_minutes < 0:
        message = f"--distill is {options.distill:g} and --pretrain-minutes is {options.pretrain_minutes:g}. "
        message += "Both must be 0 or positive."
        raise OptionError(message)
    if options.inside_weight < 0:
        raise OptionError(f"--inside-weight is {options.inside_weight:g}. Use 0 or a positive number.")
    if options.enhancement_boost < 1:
        raise OptionError(f"--enhancement-boost is {options.enhancement_boost:g}. Use a number of at least 1.")
    if not 0 <= options.intensity_changes <= 1:
        raise OptionError(f"--intensity-changes is {options.intensity_changes:g}. Use a number from 0 to 1.")
    if options.pretrain_section and options.pretrain_minutes == 0:
        raise OptionError("--pretrain-section needs --pretrain-minutes. Add it, or omit --pretrain-section.")
