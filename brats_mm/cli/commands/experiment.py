"""`brats-mm experiment`: train several methods at one budget and compare them."""

import argparse
from pathlib import Path

from brats_mm.cli.command import Commands, add_command
from brats_mm.cli.options.common import add_bundle_options, add_terminal_options, open_selected_bundle
from brats_mm.cli.output import Console
from brats_mm.cli.system import choose_interrupt_code
from brats_mm.domain.counting import format_count
from brats_mm.domain.number_range import ABOVE_ZERO, FROM_ONE, OPEN_SHARE, SEED, ZERO_OR_MORE, check_numbers

_NUMBERS = {
    "minutes": ABOVE_ZERO,
    "epochs": FROM_ONE,
    "expert_share": OPEN_SHARE,
    "seeds": SEED,
    "cores": ABOVE_ZERO,
    "gpus": ZERO_OR_MORE,
}


def add(commands: Commands) -> None:
    """Add `brats-mm experiment`."""
    parser = add_command(
        commands,
        "experiment",
        run,
        help="train several methods at one budget and compare them",
        description="Train methods with several seeds at one budget, evaluate each over the 15 subsets of sequences, "
        "and compare them. The table lists Dice, calibration, counter-intuitive rate, size, operations and time. "
        "Paired tests compare Dice. A method is the name of a method or list of the bundle, such as simmlm or papers, "
        "a config file to merge into the bundle's train.json, or an experiment file that lists several methods. "
        "Run the same command again to resume a stopped experiment.",
        epilog="examples:\n"
        "  brats-mm experiment papers --dataset-dir CASES --datalist CASES/datalist.json -o experiment --minutes 60\n"
        "  brats-mm experiment ladder my_method.json --dataset-dir CASES --datalist CASES/datalist.json -o experiment "
        "--epochs 40 --seeds 1 2",
    )
    parser.add_argument("methods", nargs="+", metavar="METHOD", help="name of a method of the bundle, or a file")
    parser.add_argument(
        "--dataset-dir",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder that the list's paths are relative to",
    )
    parser.add_argument(
        "--datalist",
        type=Path,
        required=True,
        metavar="FILE",
        help="JSON list of cases, as written by `brats-mm datalist`",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for all results")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[1], metavar="SEED", help="random seeds of the training runs"
    )
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument(
        "--minutes",
        type=float,
        metavar="N",
        help="training time per method and seed, including its experts",
    )
    budget.add_argument("--epochs", type=int, metavar="N", help="epochs per method and seed, including its experts")
    parser.add_argument(
        "--expert-share",
        type=float,
        default=0.625,
        metavar="SHARE",
        help="fraction of the budget for the four experts together",
    )
    parser.add_argument(
        "--experts",
        type=Path,
        metavar="PLACE",
        help="trained experts to start from without spending budget: their folder, or a mixture's model.pt",
    )
    parser.add_argument("--section", default="validation", help="section of the list to evaluate on")
    parser.add_argument("--reference", metavar="METHOD", help="method to compare the others with (default: the first)")
    parser.add_argument("--parquet", action="store_true", help="also write the tables as Parquet (needs pyarrow)")
    add_bundle_options(parser, "bundle to take the configs from (default: the installed one)")
    parser.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--ray", metavar="ADDRESS", help="train on a Ray cluster: an address, auto, or local for this machine"
    )
    parser.add_argument("--cores", type=float, default=2, metavar="N", help="CPU cores per training run on a cluster")
    parser.add_argument("--gpus", type=float, default=0, metavar="N", help="GPUs per training run on a cluster")
    add_terminal_options(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm experiment` and return its exit code."""
    check_numbers(options, _NUMBERS)
    from brats_mm.experiments.comparison.methods import read_methods

    template = open_selected_bundle(options)
    methods = read_methods(options.methods, template)
    if options.parquet:
        from brats_mm.outputs.parquet import require_parquet

        require_parquet("omit --parquet")
    console.say(f"{format_count(len(methods), 'method')}: {', '.join(method.name for method in methods)}.")
    from brats_mm.experiments.comparison.on_ray import perform_on_ray
    from brats_mm.experiments.comparison.report import write_comparison
    from brats_mm.experiments.comparison.run import Data, Outcome, move_reference_first, perform_all, plan
    from brats_mm.experiments.comparison.training import Budget

    budget = Budget(options.epochs or 0, options.minutes or 0.0, options.expert_share)
    data = Data(options.dataset_dir, options.datalist, options.section)
    settings = {"seeds": options.seeds, "budget": budget, "device": options.device, "experts": options.experts}
    planned = plan(methods, data, options.output, template, **settings)
    if options.reference:
        planned = move_reference_first(planned, options.reference)
    if options.ray:
        running = perform_on_ray(planned, options.ray, cores=options.cores, gpus=options.gpus)
    else:
        running = perform_all(planned, say=console.say)
    outcomes: list[Outcome] = []
    try:
        for outcome in running:
            outcomes.append(outcome)
            console.say(f"{outcome.run.method}, seed {outcome.run.seed}: {outcome.failure or 'done'}")
    except KeyboardInterrupt as interrupt:
        console.error(
            f"Interrupted after {len(outcomes)} of {format_count(len(planned.runs), 'run')}. "
            "Run the command again to resume."
        )
        return choose_interrupt_code(interrupt)
    document = write_comparison(planned, outcomes, options.output, parquet=options.parquet)
    for name, reason in document["failed"].items():
        console.warn(f"{name} failed: {reason}")
    console.say((options.output / "experiment.md").read_text(encoding="utf-8"))
    console.document(document)
    return 1 if document["failed"] else 0
