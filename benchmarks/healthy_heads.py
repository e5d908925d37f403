"""Evaluate a model on heads without tumour, made from cases by replacing the tumour with the mirrored other side.

    python benchmarks/healthy_heads.py split.json --dataset-dir CASES --trust evaluation/trust.csv --page docs/trust.md

`--trust` is a file of `brats-mm evaluate`, for the warning of heads without tumour. Its limits are fitted to all cases
for the heads, and to the other cases for each case.

Made heads are not healthy heads: a seam remains, and a tumour may have moved the other side. Cases with tumour on both
sides of the middle are left out.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import machine
import numpy as np
from case_list import case_parser, chosen_cases
from pages import update_page
from scipy import ndimage

from brats_mm import Segmenter
from brats_mm.domain.availability import Availability, sort_modalities
from brats_mm.domain.case import Case
from brats_mm.domain.label_map import Mask
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.volume import Volume
from brats_mm.evaluation.tables import read_trust_records
from brats_mm.io.case import read_case
from brats_mm.io.reference_labels import read_reference
from brats_mm.trust.assess import assess
from brats_mm.trust.case_dice import collect_estimates
from brats_mm.trust.no_tumour import compute_no_tumour_score, find_no_tumour_warnings, fit_no_tumour_scores
from brats_mm.trust.record import CaseRecords, group_by_case

MARGIN_VOXELS = 4
SEAM_VOXELS = 2.0
FULL = frozenset(MODALITIES)
WARNED_SUBSETS = (FULL, frozenset({Modality.T1CE, Modality.FLAIR}), frozenset({Modality.T2, Modality.FLAIR}))
Estimates = Mapping[Region, float | None]
CROSSING = 0.02
"""A tumour with more of its mirror image inside itself lies on both sides."""


@dataclass(frozen=True)
class Answer:
    """Results for a simulated head and for the case that it was made from, by region."""

    made_ml: dict[Region, float]
    case_ml: dict[Region, float]
    grade: dict[Region, str]
    estimates: Mapping[Availability, Estimates]


def without_tumour(case: Case, tumour: Mask) -> Case | None:
    """Return a head whose tumour is replaced by the mirrored other side. None if the tumour crosses the middle.

    The first axis runs from left to right, as in BraTS. The plane of symmetry goes through the centre of the brain.
    """
    brain = np.logical_or.reduce([volume.foreground for volume in case.volumes.values()])
    centre = np.argwhere(brain)[:, 0].mean()
    mirror = np.clip(np.rint(2 * centre - np.arange(brain.shape[0])).astype(np.int64), 0, brain.shape[0] - 1)
    wide = ndimage.binary_dilation(tumour, iterations=MARGIN_VOXELS)
    if np.count_nonzero(wide & wide[mirror]) > CROSSING * np.count_nonzero(wide):
        return None
    share = ndimage.gaussian_filter(wide.astype(np.float32), SEAM_VOXELS)
    volumes = {}
    for modality, volume in case.volumes.items():
        other = volume.data[mirror]
        inside = volume.foreground & volume.foreground[mirror]
        data = np.where(inside, (1 - share) * volume.data + share * other, volume.data * (1 - (share > 0.5)))
        volumes[modality] = Volume(data.astype(np.float32), volume.grid)
    return replace(case, volumes=volumes)


def block(answers: Sequence[Answer], skipped: int) -> str:
    lines = [
        f"{len(answers)} heads with four sequences ({skipped} cases with tumour near the middle are left out).",
        "",
        "| region | segmented in the case, mL (median) | in the simulated head, mL (median) | lights of the "
        "simulated heads |",
        "|---|---:|---:|---|",
    ]
    for region in REGIONS:
        counted = Counter(one.grade[region] for one in answers)
        made = float(np.median([one.made_ml[region] for one in answers]))
        case = float(np.median([one.case_ml[region] for one in answers]))
        lights = ", ".join(f"{number} {grade}" for grade, number in counted.most_common())
        lines.append(f"| {region.value.upper()} | {case:.1f} | {made:.1f} | {lights} |")
    return "\n".join(lines)


Limits = Mapping[int, float]
Scored = tuple[Availability, Estimates, Limits]
"""Sequences, estimates, and the limits of the score that apply to them."""


def scored_cases(cases: Mapping[str, CaseRecords]) -> list[Scored]:
    """Return each segmentation of the labelled cases with limits fitted to the other cases."""
    scored = []
    for name, case in cases.items():
        limits = fit_no_tumour_scores(other for other_name, other in cases.items() if other_name != name)
        for subset in {subset for subset, _ in case}:
            values = {region: case[subset, region].estimated_dice for region in REGIONS}
            estimates = {region: None if np.isnan(value) else value for region, value in values.items()}
            if compute_no_tumour_score(subset, estimates) is not None:
                scored.append((subset, estimates, limits))
    return scored


def warning_block(heads: Iterable[Mapping[Availability, Estimates]], cases: Mapping[str, CaseRecords]) -> str:
    """Compare the warnings and scores of simulated heads with those of cases, by sequences."""
    limits = fit_no_tumour_scores(cases.values())
    made = [(subset, estimates, limits) for head in heads for subset, estimates in head.items()]
    real = scored_cases(cases)
    lines = [
        "| sequences | warning below | heads with the warning | cases with it | highest score of a head | "
        "lowest of a case |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for subset in WARNED_SUBSETS:
        heads_of, cases_of_subset = ([one for one in group if one[0] == subset] for group in (made, real))
        title = ", ".join(modality.label for modality in sort_modalities(subset))
        lines.append(
            f"| {title} | {limits[len(subset)]:.2f} | {_warned(heads_of)} | {_warned(cases_of_subset)} | "
            f"{_format_limit(heads_of, max)} | {_format_limit(cases_of_subset, min)} |"
        )
    for count, limit in limits.items():
        group = [one for one in real if len(one[0]) == count]
        lines.append(f"| any {count} | {limit:.2f} | - | {_warned(group)} | - | {_format_limit(group, min)} |")
    return "\n".join(lines)


def _warned(scored: Sequence[Scored]) -> str:
    return f"{sum(bool(find_no_tumour_warnings(*one)) for one in scored)} of {len(scored)}"


def _format_limit(scored: Sequence[Scored], choose: Callable[[Iterable[float]], float]) -> str:
    scores = [
        score for subset, estimates, _ in scored if (score := compute_no_tumour_score(subset, estimates)) is not None
    ]
    return f"{choose(scores):.2f}" if scores else "-"


def main() -> None:
    parser = case_parser(__doc__)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--trust", type=Path, help="trust.csv of an evaluation with the same weights")
    parser.add_argument("--page", type=Path, help="Markdown page whose marked table to replace")
    options = machine.parse(parser)
    predictor = Segmenter.from_bundle(options.bundle).predictor
    answers, skipped = [], 0
    chosen = chosen_cases(options)
    for labelled in chosen:
        case = read_case(labelled.files)
        head = without_tumour(case, read_reference(labelled.label, case.grid, labelled.scheme)[Region.WT])
        if head is None:
            skipped += 1
            continue
        subsets = predictor.predict_subsets(head, WARNED_SUBSETS)
        made, real = subsets[FULL], predictor.predict(case)
        grades = {region: one.grade for region, one in assess(made).regions.items()}
        answers.append(
            Answer(
                {region: made.volume_ml(region) for region in REGIONS},
                {region: real.volume_ml(region) for region in REGIONS},
                {region: "none segmented" if grade is None else grade.value for region, grade in grades.items()},
                {subset: collect_estimates(one) for subset, one in subsets.items()},
            )
        )
        print(f"{labelled.files.name}\n{block(answers, skipped)}", flush=True)
    blocks = {"healthy-heads": block(answers, skipped)}
    if options.trust is not None:
        blocks["no-tumour"] = warning_block(
            [one.estimates for one in answers], group_by_case(read_trust_records(options.trust.parent))
        )
        print(blocks["no-tumour"])
    update_page(options.page, blocks, "benchmarks/healthy_heads.py")


if __name__ == "__main__":
    main()
