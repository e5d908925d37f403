"""Measure the loss of Dice by coarse voxels alone: resample the reference to a voxel size and back.

    python benchmarks/voxel_ceiling.py CASES/datalist.json --spacing 2 1.5

This is the score of a model that predicts each voxel of its grid perfectly. Masks are resampled as in training (at
least half of a voxel inside) and restored like a prediction (interpolated, threshold 0.5).
"""

from collections.abc import Sequence

import machine
import numpy as np
from case_list import case_parser, chosen_cases

from brats_mm.domain.regions import REGIONS
from brats_mm.domain.resample import compute_resampled_side, resample
from brats_mm.io.case import read_case
from brats_mm.io.labelled_cases import LabelledCase
from brats_mm.io.reference_labels import read_reference
from brats_mm.metrics.empty import EmptyPolicy
from brats_mm.metrics.overlap import compute_overlap, count


def resample_round_trip(mask: np.ndarray, spacing_mm: Sequence[float], target_mm: float) -> np.ndarray:
    """Resample a mask (h, w, d) to voxels of `target_mm` and back."""
    h, w, d = mask.shape
    x, y, z = (compute_resampled_side(side, step, target_mm) for side, step in zip((h, w, d), spacing_mm, strict=True))
    coarse = resample(mask.astype(np.float32), (x, y, z)) >= 0.5
    return np.asarray(resample(coarse.astype(np.float32), (h, w, d)) >= 0.5)


def ceilings(labelled: LabelledCase, spacings: Sequence[float]) -> list[list[float]]:
    """Return the Dice of each region, one row per voxel size."""
    case = read_case(labelled.files)
    masks = read_reference(labelled.label, case.grid, labelled.scheme)
    return [
        [
            compute_overlap(
                count(resample_round_trip(masks[region], case.grid.spacing_mm, wanted), masks[region]),
                EmptyPolicy.BRATS,
            ).dice
            for region in REGIONS
        ]
        for wanted in spacings
    ]


def main() -> None:
    parser = case_parser(__doc__)
    parser.add_argument("--spacing", type=float, nargs="+", default=[2.0, 1.5], help="voxel sizes, millimetres")
    options = machine.parse(parser)
    chosen = chosen_cases(options)
    per_case = np.asarray([ceilings(labelled, options.spacing) for labelled in chosen])  # (cases, spacings, regions)
    print("| voxels | " + " | ".join(region.value.upper() for region in REGIONS) + " |")
    print("|---|" + "---:|" * len(REGIONS))
    for wanted, row in zip(options.spacing, 100 * per_case.mean(axis=0), strict=True):
        print(f"| {wanted:g} mm | " + " | ".join(f"{dice:.1f}" for dice in row) + " |")


if __name__ == "__main__":
    main()
