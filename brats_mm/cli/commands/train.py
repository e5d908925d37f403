"""`brats-mm train`: train the experts and the mixture on labelled cases."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brats_mm.cli.command import Commands, add_command
from brats_mm.cli.options.common import add_terminal_options, open_selected_bundle
from brats_mm.cli.options.training import (
    SettingsPrinter,
    add_training_options,
    list_saved_states,
    parse_settings,
    reserve_training_output,
    show_log,
)
from brats_mm.cli.output import Console
from brats_mm.cli.system import choose_interrupt_code
from brats_mm.domain.number_range import ZERO_OR_MORE, check_numbers
from brats_mm.errors import OptionError

MODALITIES = ("t1", "t1ce", "t2", "flair")


def add(commands: Commands) -> None:
    """Add `brats-mm train`."""
    parser = add_command(
        commands,
        "train",
        run,
        help="train the experts and the mixture on labelled cases",
        description="Train the four experts, then the mixture that starts from them, with the bundle's configs. Prints "
        "the settings before each training run. Add --set resume=true to continue a stopped training run.",
        epilog="examples:\n  brats-mm train CASES -o models\n"
        "  brats-mm train CASES -o models --config paper\n"
        "  brats-mm train CASES -o models --estimate\n"
        "  brats-mm train CASES -o models --stage experts --modality t1ce --set epochs=100 learning_rate=0.001\n"
        "  brats-mm train CASES -o models --set resume=true",
    )
    parser.add_argument("dataset", type=Path, metavar="CASES", help="folder of the cases, with a datalist.json")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the checkpoints")
    parser.add_argument("--datalist", type=Path, metavar="FILE", help="list of cases (default: CASES/datalist.json)")
    parser.add_argument(
        "--fold",
        type=int,
        metavar="K",
        help="validate on the training cases with fold K, and train on the others (for lists of Auto3DSeg)",
    )
    parser.add_argument("--stage", choices=("all", "experts", "mixture"), default="all", help="stage to train")
    parser.add_argument("--modality", nargs="+", choices=MODALITIES, help="experts to train (default: all)")
    add_training_options(parser)
    check = parser.add_mutually_exclusive_group()
    check.add_argument("--dry-run", action="store_true", help="check settings and cases, print them, and stop")
    check.add_argument(
        "--estimate",
        action="store_true",
        help="check, run two steps of each training run, print memory, duration and a fingerprint of the data, and "
        "stop",
    )
    add_terminal_options(parser, "the settings of each training run as one JSON document")


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm train` and return its exit code."""
    from brats_mm.training.parsing import parse_bool
    from brats_mm.training.two_stages import Plan, check_plan, train

    check_numbers(options, {"fold": ZERO_OR_MORE})
    bundle = open_selected_bundle(options)
    settings = parse_settings(options)
    _check_used(options, settings)
    modalities, configs = tuple(options.modality or MODALITIES), tuple(options.config)
    check_plan(bundle, Plan(options.dataset, options.output, options.stage, modalities, configs, settings))
    if options.datalist is not None:
        settings["datalist"] = str(options.datalist)
    if options.fold is not None:
        from brats_mm.pipeline.datalists import write_fold_list

        listed = options.datalist or options.dataset / "datalist.json"
        settings["datalist"] = str(write_fold_list(listed, options.output / "datalist.json", options.fold))
    plan = Plan(options.dataset, options.output, options.stage, modalities, configs, settings)
    output = Path(str(settings.get("output_dir", options.output)))
    earlier = list_saved_states(output)
    show = SettingsPrinter(console)
    show_log(options)
    estimated: dict[str, Any] = {}
    with reserve_training_output(options):
        try:
            if options.estimate:
                from brats_mm.training.estimate import estimate

                estimated = estimate(bundle, plan, on_stage=show)
            else:
                train(bundle, plan, on_stage=show, only_check=options.dry_run)
        except KeyboardInterrupt as interrupt:
            if options.estimate or options.dry_run:
                raise
            states = list_saved_states(output)
            if states if parse_bool(settings.get("resume", False)) else states - earlier:
                console.error("Interrupted. Finished epochs are kept. Add --set resume=true to continue.")
            else:
                console.error("Interrupted before the first epoch ended. Run the same command to start again.")
            return choose_interrupt_code(interrupt)
    if estimated:
        from brats_mm.training.estimate_text import render_estimate

        console.say(render_estimate(estimated))
    elif not options.dry_run:
        console.say(f"The checkpoints are in {output}.")
    console.document(estimated or show.trainings)
    return 0


def _check_used(options: argparse.Namespace, settings: Mapping[str, Any]) -> None:
    """Reject options that would have no effect."""
    if options.modality and options.stage == "mixture":
        raise OptionError("--modality chooses experts, but --stage mixture trains none. Omit one of them.")
    if "modality" in settings:
        raise OptionError("The command sets modality for each expert. Use --modality instead of --set modality.")
    if "datalist" in settings and (options.datalist is not None or options.fold is not None):
        raise OptionError("--set datalist cannot be combined with --datalist or --fold. Use --datalist for the list.")
    if "dataset_dir" in settings:
        raise OptionError("The folder of the cases is the first argument. Omit --set dataset_dir.")
