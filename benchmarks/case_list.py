"""Options of benchmarks that read a list of labelled cases."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from brats_mm.domain.availability import SUBSETS
from brats_mm.evaluation.case import SetPredictor
from brats_mm.evaluation.run import EvaluationSettings, evaluate
from brats_mm.io.labelled_cases import LabelledCase, list_labelled_cases
from brats_mm.pipeline.advise import parse_subset


def case_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the list of cases and its section."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datalist", type=Path, help="list of labelled cases, or folder of case folders")
    parser.add_argument(
        "--dataset-dir", type=Path, help="folder that the list's paths are relative to (default: folder of the list)"
    )
    parser.add_argument("--section", default="validation", help="section of the list")
    parser.add_argument("--cases", type=int, help="number of cases from the start of the section (default: all)")
    return parser


def chosen_cases(options: argparse.Namespace) -> Sequence[LabelledCase]:
    """Return the cases of the parsed options."""
    cases = list_labelled_cases(options.datalist, dataset_dir=options.dataset_dir, section=options.section)
    return cases[: options.cases]


def evaluation_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the cases, subsets and bundle of an evaluation, and the folder for its tables."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n", 1)[0])
    parser.add_argument("dataset", type=Path, metavar="DATALIST", help="JSON list of cases, or folder of case folders")
    parser.add_argument("--dataset-dir", type=Path, metavar="DIR", help="folder that the list's paths are relative to")
    parser.add_argument("--section", default="validation", help="section of the list")
    parser.add_argument("--cases", nargs="*", default=[], metavar="CASE", help="only these cases")
    parser.add_argument("--subsets", nargs="*", metavar="SUBSET", help="only these subsets, such as t1ce+flair")
    parser.add_argument("--bundle", type=Path, help="bundle with a cross-sequence expert (default: the installed one)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the tables")
    return parser


def evaluate_chosen(options: argparse.Namespace, predictor: SetPredictor, *, resume: bool = False) -> None:
    """Evaluate the chosen cases and subsets of the parsed options, and print a line after each case."""
    subsets = tuple(map(parse_subset, options.subsets)) if options.subsets else SUBSETS
    evaluate(
        list_labelled_cases(
            options.dataset, dataset_dir=options.dataset_dir, section=options.section, names=options.cases
        ),
        options.output,
        predictor,
        EvaluationSettings(subsets=subsets, plots=False, resume=resume),
        on_case=lambda done, total, name: print(f"{done} of {total}: {name}", flush=True),
    )
