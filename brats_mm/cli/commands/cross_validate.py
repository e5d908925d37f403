"""`brats-mm cross-validate`: train and evaluate k folds, pool their scores and build the ensemble."""

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
from brats_mm.domain.label_scheme import SCHEMES
from brats_mm.domain.number_range import FOLDS, SEED, check_numbers
from brats_mm.errors import OptionError


def add(commands: Commands) -> None:
    """Add `brats-mm cross-validate`."""
    parser = add_command(
        commands,
        "cross-validate",
        run,
        help="train and evaluate k folds, pool their scores and build the ensemble",
        description="Train both stages on each fold, evaluate each model on the cases that it was not trained on, pool "
        "these scores into one evaluation with CSV and LaTeX tables, and build a bundle that averages the models. Run "
        "the same command again to resume.",
        epilog="examples:\n  brats-mm cross-validate CASES -o OUT --folds 5\n"
        "  brats-mm cross-validate CASES -o OUT --datalist folds.json --config paper\n"
        "  brats-mm cross-validate CASES -o OUT --split splits_final.json\n"
        "  brats-mm segment CASE_FOLDER -o result --bundle OUT/ensemble",
    )
    parser.add_argument("dataset", type=Path, metavar="CASES", help="folder of labelled cases")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the results")
    parser.add_argument("--folds", type=int, default=5, metavar="K", help="number of folds, drawn by patient")
    parser.add_argument("--seed", type=int, default=0, help="seed of the folds")
    parser.add_argument(
        "--datalist",
        type=Path,
        metavar="FILE",
        help="list whose training entries have the key fold, instead of --folds",
    )
    parser.add_argument("--split", type=Path, metavar="FILE", help="nnU-Net's splits_final.json, instead of --folds")
    parser.add_argument(
        "--labels", metavar="SCHEME", help=f"label scheme of the cases (default: detect), one of {SCHEMES}"
    )
    add_training_options(parser)
    parser.add_argument("--device", default="auto", help="device of the evaluation: auto, cpu, cuda or cuda:N")
    add_terminal_options(parser, "the summary of the pooled evaluation as one JSON document")


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm cross-validate` and return its exit code."""
    check_numbers(options, {"folds": FOLDS, "seed": SEED})
    bundle = open_selected_bundle(options)
    settings, configs = parse_settings(options), tuple(options.config)
    _check_used(options, settings)
    from brats_mm.training.two_stages import Plan, check_plan

    check_plan(bundle, Plan(options.dataset, options.output, configs=configs, settings=settings))
    from brats_mm.experiments.cross_validation import CrossValidation, cross_validate

    plan = CrossValidation(
        options.dataset,
        options.output,
        options.folds,
        options.seed,
        options.datalist,
        options.labels,
        configs,
        settings,
        options.device,
        options.split,
    )
    show_log(options)
    with reserve_training_output(options):
        try:
            result = cross_validate(
                bundle,
                plan,
                on_stage=SettingsPrinter(console),
                on_step=console.say,
            )
        except KeyboardInterrupt as interrupt:
            if list_saved_states(options.output):
                console.error("Interrupted. Finished epochs and cases are kept. Run the same command to continue.")
            else:
                console.error("Interrupted before the first epoch ended. Run the same command to start again.")
            return choose_interrupt_code(interrupt)
    console.say((options.output / "pooled" / "summary.md").read_text(encoding="utf-8"))
    console.say(f"Pooled scores, tables and the ensemble are in {options.output}.")
    console.document(result)
    return 0


OWN = ("dataset_dir", "datalist", "output_dir", "checkpoint", "resume", "modality")
"""Settings that the command chooses for each training run."""


def _check_used(options: argparse.Namespace, settings: Mapping[str, Any]) -> None:
    """Reject options that would have no effect or contradict each other."""
    own = [name for name in OWN if name in settings]
    if own:
        raise OptionError(f"The cross-validation sets {', '.join(own)} itself. Omit it from --set.")
    scheme = settings.get("label_scheme", options.labels)
    if options.labels is not None and scheme != options.labels:
        raise OptionError(f"--labels is {options.labels}, but --set label_scheme is {scheme}. Use --labels alone.")
