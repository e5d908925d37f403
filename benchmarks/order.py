"""Test whether mixing in the predictions from fewer sequences lowers the counter-intuitive rate.

    python benchmarks/order.py split.json --dataset-dir CASES -o order.json

Each case is segmented with every subset of its sequences. The probabilities of a subset are then mixed with the mean
of those of the subsets inside it. The table gives counter-intuitive rates with a tolerance of 0 and 1 point, and Dice.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import machine
import numpy as np
from case_list import case_parser, chosen_cases

from brats_mm import Segmenter
from brats_mm.domain.availability import SUBSETS, Availability, format_subset
from brats_mm.domain.prediction import THRESHOLD, Prediction, nest_probabilities
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.volume import Array
from brats_mm.inference.predictor import Predictor
from brats_mm.io.case import read_case
from brats_mm.io.labelled_cases import LabelledCase
from brats_mm.io.reference_labels import read_reference
from brats_mm.metrics.empty import EmptyPolicy
from brats_mm.metrics.monotonicity import PairTally, tally_pairs
from brats_mm.metrics.overlap import compute_overlap, count

SHARES = (0.0, 0.25, 0.5, 0.75)
"""Share of the mean of the smaller subsets in the mixture."""


def mixed(predictions: Mapping[Availability, Prediction], subset: Availability, share: float) -> dict[Region, Array]:
    """Mix a subset's probabilities with the mean of those of the subsets inside it, and nest the regions."""
    own, inside = predictions[subset].probabilities, [other for other in predictions if other < subset]
    if not inside or share == 0:
        made = [own[region] for region in REGIONS]
    else:
        made = [
            (1 - share) * own[region]
            + share * np.mean([predictions[other].probabilities[region] for other in inside], axis=0)
            for region in REGIONS
        ]
    return dict(zip(REGIONS, nest_probabilities(*made), strict=True))


def rows_of(labelled: LabelledCase, predictor: Predictor) -> Iterator[dict[str, Any]]:
    case = read_case(labelled.files)
    reference = read_reference(labelled.label, case.grid, labelled.scheme)
    predictions = predictor.predict_subsets(case, [subset for subset in SUBSETS if subset <= case.available])
    for share in SHARES:
        for subset in predictions:
            probabilities = mixed(predictions, subset, share)
            for region in REGIONS:
                counted = count(probabilities[region] >= THRESHOLD, reference[region])
                dice = compute_overlap(counted, EmptyPolicy.BRATS).dice
                yield {
                    "case": case.name,
                    "share": share,
                    "subset": format_subset(subset),
                    "region": region.value,
                    "dice": dice,
                }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    names = [region.value.upper() for region in REGIONS]
    heads = [*(f"{name} rate, 0 / 1 point" for name in names), *(f"{name} Dice" for name in names)]
    lines = ["| share of smaller subsets | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    for share in SHARES:
        rates, means = [], []
        for region in REGIONS:
            own = [row for row in rows if row["share"] == share and row["region"] == region.value]
            total = PairTally()
            for case in dict.fromkeys(row["case"] for row in own):
                total += tally_pairs({NAMED[row["subset"]]: row["dice"] for row in own if row["case"] == case})
            rates.append(f"{100 * total.rate:.1f} / {100 * total.rate_above_one_point:.1f}")
            means.append(f"{100 * np.mean([row['dice'] for row in own]):.1f}")
        lines.append(f"| {share:g} | " + " | ".join([*rates, *means]) + " |")
    return "\n".join(lines)


NAMED = {format_subset(subset): subset for subset in SUBSETS}


def main() -> None:
    parser = case_parser(__doc__)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("order.json"))
    options = machine.parse(parser)
    predictor = Segmenter.from_bundle(options.bundle).predictor
    chosen = chosen_cases(options)
    rows: list[dict[str, Any]] = []
    for done, labelled in enumerate(chosen, start=1):
        rows += rows_of(labelled, predictor)
        options.output.write_text(json.dumps({"machine": options.machine, "rows": rows}))
        print(f"{done} cases\n{table(rows)}", flush=True)


if __name__ == "__main__":
    main()
