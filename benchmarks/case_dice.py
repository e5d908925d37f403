"""How well the estimated Dice of a case foretells its true Dice: rank correlation, failures found, grades.

python benchmarks/case_dice.py split.json --dataset-dir CASES
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import rankdata, spearmanr

from brats_mm import Segmenter
from brats_mm.domain.availability import SUBSETS
from brats_mm.domain.regions import REGIONS
from brats_mm.io.case import read_case
from brats_mm.io.labelled_cases import labelled_cases
from brats_mm.io.reference_labels import read_reference
from brats_mm.metrics.empty import EmptyPolicy
from brats_mm.metrics.overlap import count, overlap
from brats_mm.trust.case_dice import Grade, estimate_dice, grade_of

FAILURE = 0.5
"""A true Dice below this counts as a failure."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datalist", type=Path)
    parser.add_argument("--dataset-dir", type=Path)
    parser.add_argument("--section", default="validation")
    parser.add_argument("--bundle")
    options = parser.parse_args()
    predictor = Segmenter.from_bundle(options.bundle).predictor
    rows: dict[str, list[tuple[float, float]]] = {region.value: [] for region in REGIONS}
    cases = labelled_cases(options.datalist, dataset_dir=options.dataset_dir, section=options.section)
    for labelled in cases:
        case = read_case(labelled.files)
        reference = read_reference(labelled.label, case.grid, labelled.scheme)
        predictions = predictor.predict_subsets(case, [subset for subset in SUBSETS if subset <= case.available])
        for prediction in predictions.values():
            for region in REGIONS:
                inside = prediction.mask(region)
                estimate = estimate_dice(prediction.probabilities[region], inside)
                if estimate is not None:
                    true = overlap(count(inside, reference[region]), EmptyPolicy.BRATS).dice
                    rows[region.value].append((estimate, true))
    print(f"{len(cases)} cases, every subset of their sequences")
    print("| region | segmentations | Spearman | AUROC of Dice < 0.5 | true Dice when reliable | review | unreliable |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for region, pairs in rows.items():
        estimate, true = np.array(pairs).T
        grades = np.array([grade_of(value) for value in estimate])
        means = [_share(true[grades == grade], len(true)) for grade in Grade]
        rank = spearmanr(estimate, true).statistic
        auroc = _auroc(-estimate, true < FAILURE)
        print(f"| {region.upper()} | {len(true)} | {rank:.2f} | {auroc:.2f} | {' | '.join(means)} |")


def _share(values: np.ndarray, total: int) -> str:
    return f"{values.mean():.2f} ({100 * len(values) / total:.0f} %)" if len(values) else "-"


def _auroc(score: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve, by ranks (Mann-Whitney)."""
    count = int(positive.sum())
    if not 0 < count < len(positive):
        return float("nan")
    return float((rankdata(score)[positive].sum() - count * (count + 1) / 2) / (count * (len(positive) - count)))


if __name__ == "__main__":
    main()
