"""What a prediction says, on the slices of a series: labels, entropy, volumes."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from brats_mm.domain.availability import Availability
from brats_mm.domain.entropy import binary_entropy, compartment_entropy
from brats_mm.domain.label_map import Labels, labels_from_regions, regions_from_labels
from brats_mm.domain.prediction import THRESHOLD, ModelIdentity, Prediction, nested
from brats_mm.domain.regions import REGIONS, Compartment, LabelConvention, Region
from brats_mm.domain.volume import Array, Grid
from brats_mm.preprocessing.regridding import on_grid

CONVENTION = LabelConvention.BRATS2023


@dataclass(frozen=True)
class Measured:
    """Volume in millilitres, and mean entropy inside in nats; None where there is no voxel."""

    volume_ml: float
    mean_entropy_nats: float | None


@dataclass(frozen=True, eq=False)
class Findings:
    """Findings on one grid.

    Attributes:
        labels: compartments, numbered as by BraTS 2023: necrosis 1, oedema 2, enhancing 3.
        entropy: of the compartment, nats, 0 to ln 4.
        compartments: volume, and mean of `entropy` inside.
        regions: volume, and mean entropy of the region's own probability inside.
        used, missing: sequences.
        model: which model spoke.
    """

    labels: Labels
    entropy: Array
    compartments: Mapping[Compartment, Measured]
    regions: Mapping[Region, Measured]
    used: Availability
    missing: Availability
    model: ModelIdentity


def findings_on(prediction: Prediction, grid: Grid) -> Findings:
    """The findings of a prediction on another grid: probabilities are brought there, and all else follows from them.

    Where the grid has the prediction's own voxels, in whatever order of axes, they are taken as they are.
    """
    found = {region: on_grid(prediction.probabilities[region], prediction.case.grid, grid) for region in REGIONS}
    wt, tc, et = (np.clip(found[region], 0, 1) for region in REGIONS)
    labels = labels_from_regions(wt >= THRESHOLD, tc >= THRESHOLD, et >= THRESHOLD, CONVENTION)
    entropy = np.asarray(compartment_entropy(*nested(wt, tc, et)), np.float32)
    parts = {part: labels == CONVENTION.value_of(part) for part in Compartment}
    masks = regions_from_labels(labels, CONVENTION)
    return Findings(
        labels=labels,
        entropy=entropy,
        compartments={part: _measured(mask, entropy, grid) for part, mask in parts.items()},
        regions={
            region: _measured(masks[region], binary_entropy(probability), grid)
            for region, probability in zip(REGIONS, (wt, tc, et), strict=True)
        },
        used=prediction.case.available,
        missing=prediction.case.missing,
        model=prediction.model,
    )


def _measured(mask: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]", entropy: Array, grid: Grid) -> Measured:
    inside = entropy[mask]
    return Measured(inside.size * grid.voxel_ml, float(inside.mean(dtype=np.float64)) if inside.size else None)
