"""Measure the loss of Dice on labelled cases after each of a list of corruptions.

    python benchmarks/robustness.py CASES/datalist.json -o robustness

Writes robustness.json and robustness.md. Each change is applied to the images of each case
(`corruptions.py`), and the reference is unchanged. There are three availability sets: all four sequences,
T1ce + FLAIR, and T2 alone.
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import machine
import numpy as np
from case_list import case_parser, chosen_cases
from corruptions import SHIFTS, Shift

from brats_mm.domain.availability import ALL_AVAILABLE, Availability, format_subset
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import REGIONS
from brats_mm.inference.predictor import Predictor
from brats_mm.io.case import read_case
from brats_mm.io.labelled_cases import LabelledCase
from brats_mm.io.reference_labels import read_reference
from brats_mm.metrics.empty import EmptyPolicy
from brats_mm.metrics.overlap import compute_overlap, count
from brats_mm.pipeline.segmenter import Segmenter

SETS: tuple[Availability, ...] = (
    ALL_AVAILABLE,
    frozenset({Modality.T1CE, Modality.FLAIR}),
    frozenset({Modality.T2}),
)


def rows_of(labelled: LabelledCase, predictor: Predictor, shifts: Sequence[Shift]) -> Iterator[dict[str, Any]]:
    """Compute the Dice of each subset and region of one case after each change."""
    case = read_case(labelled.files)
    masks = read_reference(labelled.label, case.grid, labelled.scheme)
    sets = [wanted for wanted in SETS if wanted <= case.available]
    for shift in shifts:
        rng = np.random.default_rng(zlib.crc32(f"{case.name} {shift.name}".encode()))
        changed, reference = shift.apply(case, masks, rng)
        for subset, prediction in predictor.predict_subsets(changed, sets).items():
            for region in REGIONS:
                dice = compute_overlap(count(prediction.mask(region), reference[region]), EmptyPolicy.BRATS).dice
                yield {"shift": shift.name, "subset": format_subset(subset), "region": region.value, "dice": dice}


def table(rows: Sequence[dict[str, Any]], shifts: Sequence[Shift]) -> str:
    """Format mean Dice in percent as a Markdown table, one row per change."""
    names = [format_subset(subset) for subset in SETS]
    heads = [f"{name}: {region.value.upper()}" for name in names for region in REGIONS]
    lines = ["| change | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    for shift in shifts:
        cells = []
        for name in names:
            for region in REGIONS:
                key = (shift.name, name, region.value)
                dice = [row["dice"] for row in rows if (row["shift"], row["subset"], row["region"]) == key]
                cells.append(f"{100 * np.mean(dice):.1f}" if dice else "")
        lines.append(f"| {shift.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = case_parser(__doc__)
    parser.add_argument("--bundle", type=Path, default=None)
    parser.add_argument("-o", "--output", type=Path, default=Path("robustness"))
    options = machine.parse(parser)
    chosen = chosen_cases(options)
    predictor = Segmenter.from_bundle(options.bundle).predictor
    rows = []
    for labelled in chosen:
        rows += list(rows_of(labelled, predictor, SHIFTS))
        print(f"{len(rows)} rows", flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "robustness.json").write_text(json.dumps({"machine": options.machine, "rows": rows}, indent=1))
    (options.output / "robustness.md").write_text(table(rows, SHIFTS))
    print(table(rows, SHIFTS))


if __name__ == "__main__":
    main()
