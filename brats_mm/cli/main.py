"""The command `brats-mm`: read options, run the command, print the outcome.

Exit codes: 0 done, 1 this machine or installation is at fault, 2 the input or an option is, 130 interrupted.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from brats_mm.cli.archive import archive
from brats_mm.cli.arguments import make_parser
from brats_mm.cli.card import card
from brats_mm.cli.cohort import cohort
from brats_mm.cli.datalist import datalist
from brats_mm.cli.dicom_arguments import dicom_output
from brats_mm.cli.evaluation import compare, evaluate
from brats_mm.cli.inspect_input import inspect
from brats_mm.cli.model import load_segmenter
from brats_mm.cli.output import Console
from brats_mm.cli.pack import pack
from brats_mm.cli.raw_arguments import preparation_options
from brats_mm.cli.report import report
from brats_mm.cli.segment_source import find_source
from brats_mm.cli.serve import serve, token
from brats_mm.cli.study import study
from brats_mm.errors import BratsMMError, InputError, OptionError

if TYPE_CHECKING:
    from brats_mm.outputs.results import OutputOptions

EXIT_OK, EXIT_FAULT, EXIT_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130

Command = Callable[[argparse.Namespace, Console], int]


def entry() -> None:
    """What the console script calls."""
    sys.exit(main())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. No error of ours ends in a traceback."""
    options = make_parser().parse_args(arguments)
    console = Console(quiet=getattr(options, "quiet", False), as_json=options.json)
    try:
        return COMMANDS[options.command](options, console)
    except InputError as error:
        console.error(str(error))
        return EXIT_INPUT
    except BratsMMError as error:
        console.error(str(error))
        return EXIT_FAULT
    except KeyboardInterrupt:
        console.error("Interrupted; nothing was written.")
        return EXIT_INTERRUPTED


def segment(options: argparse.Namespace, console: Console) -> int:
    """`brats-mm segment`."""
    from brats_mm.domain.regions import LabelConvention

    given = find_source(options, console)
    dicom = dicom_output(options, given.headers)
    segmenter = load_segmenter(options, console)
    from brats_mm.pipeline.segment import OutputOptions, segment_to_folder

    wanted = OutputOptions(
        convention=LabelConvention(options.labels),
        probabilities=options.probabilities,
        importance_maps=options.importance_maps,
        preview=not options.no_preview,
        scene=options.scene,
        report=options.report,
        dicom=dicom,
        overwrite=options.overwrite,
    )
    with console.progress("segmenting") as on_window:
        segmented = segment_to_folder(
            given.case,
            options.output,
            segmenter,
            wanted,
            preparation=preparation_options(options),
            on_window=on_window,
            on_step=console.say,
        )
    _say_report(segmented.report, console)
    console.say(f"\n{len(segmented.files)} files in {options.output}{_to_see(wanted)}.")
    console.document(segmented.report)
    return EXIT_OK


def _to_see(wanted: "OutputOptions") -> str:
    shown = {"a picture in preview.png": wanted.preview, "a page in report.html": wanted.report}
    there = " and ".join(said for said, is_there in shown.items() if is_there)
    return f", with {there}" if there else ""


def demo(options: argparse.Namespace, console: Console) -> int:
    """`brats-mm demo`."""
    from brats_mm.domain.availability import ALL_AVAILABLE, describe
    from brats_mm.domain.modality import Modality

    dropped = frozenset(Modality(name) for name in options.drop)
    if dropped == ALL_AVAILABLE:
        message = "All four sequences were dropped; leave at least one to segment."
        raise OptionError(message)
    console.say(f"Making a synthetic head (seed {options.seed}) without {describe(dropped)}.")
    segmenter = load_segmenter(options, console)
    from brats_mm.pipeline.demo import run_demo

    with console.progress("segmenting") as on_window:
        made = run_demo(options.output, segmenter, dropped=dropped, seed=options.seed, on_window=on_window)
    _say_report(made.segmented.report, console)
    overlap = ", ".join(f"{region.value.upper()} {value:.2f}" for region, value in made.dice.items())
    console.say(f"\nDice against the head's true labels: {overlap} (synthetic: no measure of the model).")
    console.say(f"The head is in {made.head}; results and preview.png are in {options.output / 'result'}.")
    console.document({**made.segmented.report, "dice": {region.value: value for region, value in made.dice.items()}})
    return EXIT_OK


def doctor(options: argparse.Namespace, console: Console) -> int:
    """`brats-mm doctor`."""
    from brats_mm.pipeline.doctor import examine

    checks = examine(options.bundle)
    failed = [check for check in checks if check.state == "failed"]
    for check in checks:
        console.result(f"{check.state:8}{check.name}: {check.found}")
    console.result("This installation cannot segment yet; see the failed lines." if failed else "OK: ready to segment.")
    console.document({"ok": not failed, "checks": [vars(check) for check in checks]})
    return EXIT_FAULT if failed else EXIT_OK


def info(options: argparse.Namespace, console: Console) -> int:
    """`brats-mm info`."""
    from brats_mm.pipeline.describe import describe_installation

    found = describe_installation(options.bundle)
    console.result(f"brats-mm {found['version']}. {found['statement']}")
    console.result(f"model: {_one_line(found['model'])}")
    for name, sequence in found["sequences"].items():
        console.result(f"{name}: files named with {', '.join(sequence['file_name_tokens'])}")
    for name, values in found["labels"].items():
        console.result(f"labels {name}: {_one_line(values)}")
    console.document(found)
    return EXIT_OK


COMMANDS: dict[str, Command] = {
    "segment": segment,
    "cohort": cohort,
    "inspect": inspect,
    "demo": demo,
    "datalist": datalist,
    "evaluate": evaluate,
    "compare": compare,
    "pack": pack,
    "study": study,
    "archive": archive,
    "report": report,
    "card": card,
    "doctor": doctor,
    "info": info,
    "serve": serve,
    "token": token,
}


def _say_report(report: dict[str, Any], console: Console) -> None:
    for warning in report["warnings"]:
        console.warn(warning)
    for name, region in report["regions"].items():
        entropy = region["mean_entropy_inside_nats"]
        sure = "empty" if entropy is None else f"mean entropy {entropy:.3f} nats"
        console.say(f"{name.upper()} {region['name']:<17}{region['volume_ml']:8.1f} mL, {sure}")
    seconds = ", ".join(f"{stage} {value:.1f} s" for stage, value in report["run"]["seconds"].items())
    console.say(f"on {report['run']['device']}: {seconds}")
    console.say(report["statement"])


def _one_line(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())
