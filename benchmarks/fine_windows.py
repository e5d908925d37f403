"""Evaluate other windows of the cross-sequence expert than the shipped ones.

    python benchmarks/fine_windows.py split.json --dataset-dir CASES --side 128 --overlap 0.25 -o windows_128
    brats-mm compare evaluation windows_128

Prints the windows per case and subset. The output folder has the format of `brats-mm evaluate`. `--tta` also averages
with the mirrored brain. The shipped calibration is used, so compare Dice, not calibration.
"""

import argparse
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import machine

from brats_mm.domain.availability import SUBSETS, Availability, subset_name
from brats_mm.domain.case import Case
from brats_mm.domain.options import ModelOptions
from brats_mm.domain.prediction import Prediction
from brats_mm.evaluation.case import SetPredictor, shared_passes
from brats_mm.evaluation.run import EvaluationSettings, evaluate
from brats_mm.inference import coarse_to_fine
from brats_mm.io.labelled_cases import labelled_cases
from brats_mm.pipeline.advise import parse_subset
from brats_mm.pipeline.segmenter import Segmenter


@contextmanager
def fine_windows(side: int, overlap: float) -> Iterator[None]:
    """Use other windows of the cross-sequence expert inside the context."""
    shipped = coarse_to_fine.FINE_WINDOW, coarse_to_fine.FINE_OVERLAP
    coarse_to_fine.FINE_WINDOW, coarse_to_fine.FINE_OVERLAP = (side, side, side), overlap
    try:
        yield
    finally:
        coarse_to_fine.FINE_WINDOW, coarse_to_fine.FINE_OVERLAP = shipped


def counting(predictor: SetPredictor, counts: dict[Availability, list[int]]) -> SetPredictor:
    """Return a predictor that also appends the number of windows of each subset to `counts`."""

    def predict(case: Case, subsets: Sequence[Availability]) -> Iterator[Prediction]:
        for subset, prediction in zip(subsets, predictor.predict(case, subsets), strict=True):
            counts.setdefault(subset, []).append(prediction.run.windows)
            yield prediction

    return replace(predictor, predict=predict)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("dataset", type=Path, metavar="DATALIST", help="JSON list of cases, or folder of case folders")
    parser.add_argument("--dataset-dir", type=Path, metavar="DIR", help="folder of the list's paths")
    parser.add_argument("--section", default="validation", help="section of the list")
    parser.add_argument("--cases", nargs="*", default=[], metavar="CASE", help="only these cases")
    parser.add_argument("--subsets", nargs="*", metavar="SUBSET", help="only these subsets, such as t1ce+flair")
    parser.add_argument("--bundle", type=Path, help="bundle with a cross-sequence expert (default: the installed one)")
    parser.add_argument("--side", type=int, default=coarse_to_fine.FINE_WINDOW[0], help="side of the windows in voxels")
    parser.add_argument("--overlap", type=float, default=coarse_to_fine.FINE_OVERLAP)
    parser.add_argument("--tta", action="store_true", help="average with the mirrored brain")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the tables")
    options = machine.parse(parser, arguments)
    cases = labelled_cases(
        options.dataset, dataset_dir=options.dataset_dir, section=options.section, names=options.cases
    )
    subsets = tuple(map(parse_subset, options.subsets)) if options.subsets else SUBSETS
    preset = "tta" if options.tta else "default"
    segmenter = Segmenter.from_options(ModelOptions(bundle=options.bundle, preset=preset))
    counts: dict[Availability, list[int]] = {}
    with fine_windows(options.side, options.overlap):
        evaluate(
            cases,
            options.output,
            counting(shared_passes(segmenter.predictor), counts),
            EvaluationSettings(subsets=subsets, plots=False),
            on_case=lambda done, total, name: print(f"{done} of {total}: {name}", flush=True),
        )
    for subset, windows in counts.items():
        print(f"{subset_name(subset):24}{statistics.mean(windows):6.1f} windows")


if __name__ == "__main__":
    main()
