"""`brats-mm experiment`: train several methods at one budget and compare them."""

import argparse
from pathlib import Path

from brats_mm.cli.command import EXIT_INTERRUPTED, Commands, add_command, add_terminal_options
from brats_mm.cli.output import Console


def add(commands: Commands) -> None:
    """Add `brats-mm experiment`."""
    parser = add_command(
        commands,
        "experiment",
        run,
        help="train several methods at one budget and compare them",
        description="Train several methods with several seeds at one budget, evaluate each over the 15 subsets of "
        "sequences, and compare them: Dice, calibration, counter-intuitive rate, size, operations, time, paired tests. "
        "Methods are the bundle's own (simmlm, ume_mma, momke, mmp and its baselines, early_fusion; the lists papers "
        "and ladder), config files over the bundle's train.json, or experiment files that list several. Whatever is done is "
        "not done again, so the same command goes on with an experiment that was stopped.",
        epilog="examples:\n  brats-mm experiment papers --dataset-dir CASES --datalist CASES/datalist.json -o experiment "
        "--seeds 1 2 --minutes 60\n"
        "  brats-mm experiment ladder my_method.json --dataset-dir CASES --datalist CASES/datalist.json -o experiment "
        "--epochs 40",
    )
    parser.add_argument("methods", nargs="+", metavar="METHOD", help="name of one of the bundle's, or a file")
    parser.add_argument("--dataset-dir", type=Path, required=True, metavar="DIR", help="where the list's paths start")
    parser.add_argument(
        "--datalist", type=Path, required=True, metavar="FILE", help="JSON list of cases, as `brats-mm datalist` writes"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for all of it")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="SEED", help="of the trainings")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument(
        "--minutes", type=float, default=0.0, metavar="N", help="of training for each method and seed, with its experts"
    )
    budget.add_argument(
        "--epochs", type=int, default=0, metavar="N", help="for each method and seed, with those of its experts"
    )
    parser.add_argument(
        "--expert-share",
        type=float,
        default=0.625,
        metavar="SHARE",
        help="of the budget, for the four experts together",
    )
    parser.add_argument(
        "--experts",
        type=Path,
        metavar="PLACE",
        help="folder of trained experts, or a mixture's model.pt, to start from; they cost no budget",
    )
    parser.add_argument("--section", default="validation", help="section of the list that judges")
    parser.add_argument("--reference", metavar="METHOD", help="whom the others are compared with (the first)")
    parser.add_argument("--parquet", action="store_true", help="also write the tables as Parquet (needs pyarrow)")
    parser.add_argument("--bundle", metavar="DIR", help="bundle whose configs to take instead of the one installed")
    parser.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--ray", metavar="ADDRESS", help="train on a Ray cluster: its address, auto, or local for this machine"
    )
    parser.add_argument("--cores", type=float, default=2, metavar="N", help="that a training takes on a cluster")
    parser.add_argument("--gpus", type=float, default=0, metavar="N", help="that a training takes on a cluster")
    add_terminal_options(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    from brats_mm.experiments.comparison.methods import read_methods
    from brats_mm.io.bundle import open_bundle

    template = open_bundle(options.bundle)
    methods = read_methods(options.methods, template)
    if options.parquet:
        from brats_mm.evaluation.parquet import require_parquet

        require_parquet()
    console.say(f"{len(methods)} methods: {', '.join(method.name for method in methods)}.")
    from brats_mm.experiments.comparison.on_ray import perform_on_ray
    from brats_mm.experiments.comparison.report import write_comparison
    from brats_mm.experiments.comparison.run import Data, Outcome, perform_all, plan, with_reference_first
    from brats_mm.experiments.comparison.training import Budget

    budget = Budget(options.epochs, options.minutes, options.expert_share)
    data = Data(options.dataset_dir, options.datalist, options.section)
    given = {"seeds": options.seeds, "budget": budget, "device": options.device, "experts": options.experts}
    planned = plan(methods, data, options.output, template, **given)
    if options.reference:
        planned = with_reference_first(planned, options.reference)
    if options.ray:
        running = perform_on_ray(planned, options.ray, cores=options.cores, gpus=options.gpus)
    else:
        running = perform_all(planned, say=console.say)
    outcomes: list[Outcome] = []
    try:
        for outcome in running:
            outcomes.append(outcome)
            console.say(f"{outcome.run.method}, seed {outcome.run.seed}: {outcome.failure or 'done'}")
    except KeyboardInterrupt:
        console.error(f"Interrupted after {len(outcomes)} of {len(planned.runs)} runs. The same command goes on.")
        return EXIT_INTERRUPTED
    document = write_comparison(planned, outcomes, options.output, parquet=options.parquet)
    for name, reason in document["failed"].items():
        console.warn(f"{name} failed: {reason}")
    console.say((options.output / "experiment.md").read_text(encoding="utf-8"))
    console.document(document)
    return 1 if document["failed"] else 0
