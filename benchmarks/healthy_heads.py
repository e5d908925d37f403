"""What a model says about heads without tumour, made from cases by replacing the tumour with the mirrored other side.

    python benchmarks/healthy_heads.py split.json --dataset-dir CASES --trust evaluation/trust.csv --page docs/trust.md

`--trust` is a file of `brats-mm evaluate`, for the false alarms of the warning of heads without tumour.

Made heads are not healthy heads: a seam remains, and a tumour may have moved the other side. Cases with tumour on both
sides of the middle are left out.
"""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import machine
import numpy as np
from case_list import case_parser, chosen_cases
from scipy import ndimage

from brats_mm import Segmenter
from brats_mm.domain.availability import Availability, ordered
from brats_mm.domain.case import Case
from brats_mm.domain.label_map import Mask
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.volume import Volume
from brats_mm.io.case import read_case
from brats_mm.io.reference_labels import read_reference
from brats_mm.packaging.trust import with_blocks
from brats_mm.trust.assess import assess
from brats_mm.trust.case_dice import estimates_of
from brats_mm.trust.no_tumour import no_tumour_score, no_tumour_warnings
from brats_mm.trust.record import SUBSET_OF

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


def read_estimates(path: Path) -> list[tuple[Availability, Estimates]]:
    """Read the estimated Dice of each case and subset of an evaluation."""
    found: dict[tuple[str, Availability], dict[Region, float | None]] = {}
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            value = float(row["estimated_dice"])
            estimates = found.setdefault((row["case"], SUBSET_OF[row["subset"]]), {})
            estimates[Region(row["region"])] = None if np.isnan(value) else value
    return [(subset, estimates) for (_, subset), estimates in found.items()]


def warning_block(
    heads: Iterable[Mapping[Availability, Estimates]], cases: Sequence[tuple[Availability, Estimates]]
) -> str:
    """Compare the warnings and scores of simulated heads with those of cases, by sequences."""
    made = [one for head in heads for one in head.items()]
    lines = [
        "| sequences | heads with the warning | cases with it | highest score of a head | lowest of a case |",
        "|---|---:|---:|---:|---:|",
    ]
    for subset in WARNED_SUBSETS:
        own, real = ([one for name, one in group if name == subset] for group in (made, cases))
        title = ", ".join(modality.label for modality in ordered(subset))
        lines.append(
            f"| {title} | {_warned(subset, own)} | {_warned(subset, real)} | {_limit(subset, own, max)} | "
            f"{_limit(subset, real, min)} |"
        )
    scored = [(name, one) for name, one in cases if no_tumour_score(name, one) is not None]
    alarms = sum(bool(no_tumour_warnings(name, one)) for name, one in scored)
    lines.append(f"| all subsets that are checked | - | {alarms} of {len(scored)} | - | - |")
    return "\n".join(lines)


def _warned(subset: Availability, estimates: Sequence[Estimates]) -> str:
    return f"{sum(bool(no_tumour_warnings(subset, one)) for one in estimates)} of {len(estimates)}"


def _limit(subset: Availability, estimates: Sequence[Estimates], choose: Callable[[Iterable[float]], float]) -> str:
    scores = [score for one in estimates if (score := no_tumour_score(subset, one)) is not None]
    return f"{choose(scores):.2f}" if scores else "-"


def main() -> None:
    parser = case_parser(__doc__)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--trust", type=Path, help="trust.csv of an evaluation with the same weights")
    parser.add_argument("--page", type=Path, help="page whose marked table is replaced")
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
                {subset: estimates_of(one) for subset, one in subsets.items()},
            )
        )
        print(f"{labelled.files.name}\n{block(answers, skipped)}", flush=True)
    blocks = {"healthy-heads": block(answers, skipped)}
    if options.trust is not None:
        blocks["no-tumour"] = warning_block([one.estimates for one in answers], read_estimates(options.trust))
        print(blocks["no-tumour"])
    if options.page is not None:
        options.page.write_text(with_blocks(options.page.read_text(), blocks, "benchmarks/healthy_heads.py"))


if __name__ == "__main__":
    main()
