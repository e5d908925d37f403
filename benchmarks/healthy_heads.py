"""What a model says about heads without tumour, made from cases by replacing the tumour with the mirrored other side.

    python benchmarks/healthy_heads.py split.json --dataset-dir CASES --page docs/trust.md

Made heads are not healthy heads: a seam remains, and a tumour may have moved the other side. Cases with tumour on both
sides of the middle are left out.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import machine
import numpy as np
from case_list import case_parser, chosen_cases
from scipy import ndimage

from brats_mm import Segmenter
from brats_mm.domain.case import Case
from brats_mm.domain.label_map import Mask
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.volume import Volume
from brats_mm.io.case import read_case
from brats_mm.io.reference_labels import read_reference
from brats_mm.packaging.trust import with_blocks
from brats_mm.trust.assess import assess

MARGIN_VOXELS = 4
SEAM_VOXELS = 2.0
CROSSING = 0.02
"""A tumour with more of its mirror image inside itself lies on both sides."""


@dataclass(frozen=True)
class Answer:
    """What the model says about a made head, and about the case that it was made from, by region."""

    made_ml: dict[Region, float]
    case_ml: dict[Region, float]
    grade: dict[Region, str]


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
        "| region | segmented in the case, mL (median) | in the made head, mL (median) | lights of the made heads |",
        "|---|---:|---:|---|",
    ]
    for region in REGIONS:
        counted = Counter(one.grade[region] for one in answers)
        made = float(np.median([one.made_ml[region] for one in answers]))
        case = float(np.median([one.case_ml[region] for one in answers]))
        lights = ", ".join(f"{number} {grade}" for grade, number in counted.most_common())
        lines.append(f"| {region.value.upper()} | {case:.1f} | {made:.1f} | {lights} |")
    return "\n".join(lines)


def main() -> None:
    parser = case_parser(__doc__)
    parser.add_argument("--bundle", type=Path)
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
        made, real = predictor.predict(head), predictor.predict(case)
        grades = {region: one.grade for region, one in assess(made).regions.items()}
        answers.append(
            Answer(
                {region: made.volume_ml(region) for region in REGIONS},
                {region: real.volume_ml(region) for region in REGIONS},
                {region: "none segmented" if grade is None else grade.value for region, grade in grades.items()},
            )
        )
        print(f"{labelled.files.name}\n{block(answers, skipped)}", flush=True)
    if options.page is not None:
        options.page.write_text(
            with_blocks(
                options.page.read_text(), {"healthy-heads": block(answers, skipped)}, "benchmarks/healthy_heads.py"
            )
        )


if __name__ == "__main__":
    main()
