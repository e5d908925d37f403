"""Evaluate other windows of the cross-sequence expert than the shipped ones.

    python benchmarks/fine_windows.py split.json --dataset-dir CASES --side 128 --overlap 0.25 -o windows_128
    brats-mm compare evaluation windows_128

Prints the windows per case and subset. The output folder has the format of `brats-mm evaluate`. `--tta` also averages
with the mirrored brain. The shipped calibration is used, so compare Dice, not calibration.
"""

import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import machine
from case_list import evaluate_chosen, evaluation_parser

from brats_mm.domain.availability import Availability, format_subset
from brats_mm.domain.case import Case
from brats_mm.domain.options import ModelOptions
from brats_mm.domain.prediction import Prediction
from brats_mm.evaluation.case import SetPredictor, share_passes
from brats_mm.inference import coarse_to_fine
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
    """Run the benchmark."""
    parser = evaluation_parser(__doc__)
    parser.add_argument("--side", type=int, default=coarse_to_fine.FINE_WINDOW[0], help="side of the windows in voxels")
    parser.add_argument("--overlap", type=float, default=coarse_to_fine.FINE_OVERLAP)
    parser.add_argument("--tta", action="store_true", help="average with the mirrored brain")
    options = machine.parse(parser, arguments)
    preset = "tta" if options.tta else "default"
    segmenter = Segmenter.from_options(ModelOptions(bundle=options.bundle, preset=preset))
    counts: dict[Availability, list[int]] = {}
    with fine_windows(options.side, options.overlap):
        evaluate_chosen(options, counting(share_passes(segmenter.predictor), counts))
    for subset, windows in counts.items():
        print(f"{format_subset(subset):24}{statistics.mean(windows):6.1f} windows")


if __name__ == "__main__":
    main()
