"""Options of a benchmark that reads a list of labelled cases."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from brats_mm.io.labelled_cases import LabelledCase, labelled_cases


def case_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the list of cases and its section."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datalist", type=Path, help="list of labelled cases, or folder of case folders")
    parser.add_argument("--dataset-dir", type=Path, help="folder of the list's paths (default: its own)")
    parser.add_argument("--section", default="validation", help="section of the list")
    parser.add_argument("--cases", type=int, help="number of cases from the start of the section (default: all)")
    return parser


def chosen_cases(options: argparse.Namespace) -> Sequence[LabelledCase]:
    """Return the cases of the parsed options."""
    cases = labelled_cases(options.datalist, dataset_dir=options.dataset_dir, section=options.section)
    return cases[: options.cases]
