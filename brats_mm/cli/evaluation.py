"""The commands that judge: `brats-mm evaluate` and `brats-mm compare`."""

import argparse
from typing import Any

from brats_mm.cli.model import load_segmenter
from brats_mm.cli.output import Console

INTERRUPTED = 130


def evaluate(options: argparse.Namespace, console: Console) -> int:
    """`brats-mm evaluate`."""
    from brats_mm.domain.regions import LabelConvention
    from brats_mm.io.labelled_cases import labelled_cases

    cases = labelled_cases(
        options.dataset,
        dataset_dir=options.dataset_dir,
        section=options.section,
        names=options.names,
        convention=LabelConvention(options.labels) if options.labels else None,
    )
    console.say(f"{len(cases)} labelled cases.")
    segmenter = load_segmenter(options, console)
    from brats_mm.evaluation.case import shared_passes
    from brats_mm.evaluation.checkpoint import Unfinished
    from brats_mm.evaluation.run import EvaluationSettings
    from brats_mm.evaluation.run import evaluate as run
    from brats_mm.metrics.empty import EmptyPolicy

    settings = EvaluationSettings(
        policy=EmptyPolicy(options.empty),
        plots=not options.no_plots,
        parquet=options.parquet,
        resume=options.resume,
        overwrite=options.overwrite,
    )
    stopped = Unfinished(options.output)
    if options.resume and (done := stopped.cases_done()):
        console.say(f"Going on after {done} cases that are done.")
    try:
        made = run(
            cases,
            options.output,
            shared_passes(segmenter.predictor),
            settings,
            on_case=lambda done, total, name: console.say(f"{done} of {total}: {name}"),
        )
    except KeyboardInterrupt:
        if not (done := stopped.cases_done()):
            raise
        console.error(f"Interrupted after {done} of {len(cases)} cases, which are kept. Go on with --resume.")
        return INTERRUPTED
    for name, reason in made.summary["failed"].items():
        console.warn(f"{name} was left out: {reason}")
    console.say((options.output / "summary.md").read_text(encoding="utf-8"))
    console.document(dict(made.summary))
    return 0


def compare(options: argparse.Namespace, console: Console) -> int:
    """`brats-mm compare`."""
    from brats_mm.evaluation.compare import compare as run

    document = run(options.first, options.second, options.output)
    from brats_mm.evaluation.comparison_markdown import comparison_markdown

    text: Any = comparison_markdown(document)
    console.say(text)
    console.document(document)
    return 0
