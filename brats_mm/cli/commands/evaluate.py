"""`brats-mm evaluate`: score labelled cases over the 15 subsets of sequences."""

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from brats_mm.cli.command import Commands, add_command
from brats_mm.cli.options.common import add_dataset_dir_option, add_terminal_options
from brats_mm.cli.options.generate import add_options, build_options
from brats_mm.cli.options.request import load_segmenter
from brats_mm.cli.output import Console
from brats_mm.cli.system import choose_interrupt_code
from brats_mm.domain.counting import format_count
from brats_mm.domain.label_scheme import SCHEMES
from brats_mm.domain.number_range import Range, check_numbers
from brats_mm.domain.options import GRID_TOLERANCE, ModelOptions
from brats_mm.errors import OptionError

if TYPE_CHECKING:
    from brats_mm.evaluation.case import SetPredictor


def add(commands: Commands) -> None:
    """Add `brats-mm evaluate`."""
    parser = add_command(
        commands,
        "evaluate",
        run,
        help="score labelled cases over the 15 subsets of sequences",
        description="Score labelled cases over the 15 subsets of sequences: Dice, HD95, calibration, counter-intuitive "
        "rate, uncertainty against error, and gate weights, as CSV, JSON, Markdown and plots. Add --resume to continue "
        "an interrupted evaluation.",
        epilog="examples:\n  brats-mm evaluate CASES -o evaluation\n"
        "  brats-mm evaluate datalist.json --dataset-dir CASES --section validation -o evaluation\n"
        "  brats-mm evaluate CASES -o evaluation --resume",
    )
    parser.add_argument("dataset", type=Path, metavar="DATALIST", help="JSON list of cases, or folder of case folders")
    add_dataset_dir_option(parser)
    parser.add_argument("--section", default="validation", help="section of the list")
    parser.add_argument("--cases", nargs="*", default=[], metavar="CASE", help="only these cases")
    parser.add_argument(
        "--labels", metavar="SCHEME", help=f"label scheme of the reference (default: detect), one of {SCHEMES}"
    )
    parser.add_argument(
        "--empty", choices=("brats", "skip"), default="brats", help="empty region: score 1 or 0, or skip"
    )
    parser.add_argument(
        "--grid-tolerance",
        type=float,
        default=GRID_TOLERANCE,
        metavar="VOXELS",
        help="maximum distance between voxel centres of a case's images and label map, as a fraction of a voxel, 0 to "
        f"{GRID_TOLERANCE:g}",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for tables and plots")
    parser.add_argument(
        "--resume", action="store_true", help=("continue an interrupted evaluation in OUT, if there is one")
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the evaluation in OUT, including an interrupted one unless --resume is set",
    )
    parser.add_argument("--parquet", action="store_true", help="also write the tables as Parquet (needs pyarrow)")
    parser.add_argument(
        "--predictions",
        type=Path,
        metavar="FOLDER",
        help="score label maps of another program instead: FOLDER/CASE.nii.gz, or "
        "FOLDER/t1ce+flair/CASE.nii.gz for a subset",
    )
    parser.add_argument(
        "--prediction-labels",
        metavar="SCHEME",
        help=f"label scheme of these label maps, one of {SCHEMES} (default: brats2023)",
    )
    parser.add_argument("--no-plots", action="store_true", help="draw no plots")
    add_options(parser, ModelOptions)
    add_terminal_options(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm evaluate` and return its exit code."""
    from brats_mm.evaluation.checkpoint import EvaluationCheckpoint
    from brats_mm.io.labelled_cases import list_labelled_cases

    words = f"a number of voxels from 0 to {GRID_TOLERANCE:g}"
    check_numbers(options, {"grid_tolerance": Range(words, 0, GRID_TOLERANCE)})
    model = build_options(options, ModelOptions)
    _check_used(options, model)
    checkpoint = EvaluationCheckpoint(options.output)
    checkpoint.check_no_overwrite(resume=options.resume, overwrite=options.overwrite)
    cases = list_labelled_cases(
        options.dataset,
        dataset_dir=options.dataset_dir,
        section=options.section,
        names=options.cases,
        scheme=options.labels,
    )
    console.say(f"{format_count(len(cases), 'labelled case')}. Each takes up to a few minutes.")
    for scheme in dict.fromkeys(case.scheme for case in cases if case.scheme):
        console.say(f"Label scheme {scheme.value}. {scheme.note}".strip())
    predictor = _create_predictor(options, model, console)
    from brats_mm.evaluation.run import EvaluationSettings, evaluate
    from brats_mm.metrics.empty import EmptyPolicy

    settings = EvaluationSettings(
        policy=EmptyPolicy(options.empty),
        plots=not options.no_plots,
        parquet=options.parquet,
        resume=options.resume,
        overwrite=options.overwrite,
        grid_tolerance=options.grid_tolerance,
    )
    if options.resume and (done := checkpoint.count_finished_cases()):
        console.say(f"Resuming after {format_count(done, 'finished case')}.")
    try:
        result = evaluate(
            cases,
            options.output,
            predictor,
            settings,
            on_case=lambda done, total, name: console.say(f"{done} of {total}: {name}"),
        )
    except KeyboardInterrupt as interrupt:
        if not (done := checkpoint.count_finished_cases()):
            raise
        console.error(
            f"Interrupted after {done} of {format_count(len(cases), 'case')}. Finished cases are kept. "
            "Continue with --resume."
        )
        return choose_interrupt_code(interrupt)
    for name, reason in result.summary["failed"].items():
        console.warn(f"{name} was skipped: {reason}")
    for name, lines in result.summary["warnings"].items():
        for line in lines:
            console.warn(f"{name}: {line}")
    console.say((options.output / "summary.md").read_text(encoding="utf-8"))
    console.document(dict(result.summary))
    return 0


def _check_used(options: argparse.Namespace, model: ModelOptions) -> None:
    """Reject options that would have no effect."""
    if options.dataset.suffix != ".json" and (options.dataset_dir is not None or options.section != "validation"):
        raise OptionError(
            f"--dataset-dir and --section apply to a list, and {options.dataset} is not a .json file. Omit them, or "
            "provide a list."
        )
    if options.predictions is None and options.prediction_labels is not None:
        raise OptionError("--prediction-labels applies to --predictions. Add it, or omit --prediction-labels.")
    changed = [
        field.name for field in fields(model) if getattr(model, field.name) != getattr(ModelOptions(), field.name)
    ]
    if options.predictions is not None and changed:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in changed)
        raise OptionError(f"--predictions scores label maps without a model, so {names} would have no effect. Omit it.")


def _create_predictor(options: argparse.Namespace, model: ModelOptions, console: Console) -> "SetPredictor":
    """Return the predictor to evaluate: the model, or label maps of another program."""
    if options.predictions is not None:
        from brats_mm.data.label_maps import parse_scheme
        from brats_mm.evaluation.foreign import make_label_map_predictor

        return make_label_map_predictor(
            options.predictions, scheme=parse_scheme(options.prediction_labels or "brats2023")
        )
    segmenter = load_segmenter(model, console)
    from brats_mm.evaluation.case import share_passes

    return share_passes(segmenter.predictor)
