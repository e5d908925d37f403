"""Findings of a prediction on the slices of a series: labels, entropy, volumes."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from brats_mm.domain.availability import Availability
from brats_mm.domain.entropy import binary_entropy, compartment_entropy
from brats_mm.domain.label_map import Labels, extract_regions, merge_regions
from brats_mm.domain.prediction import THRESHOLD, ModelIdentity, Prediction, nest_probabilities
from brats_mm.domain.regions import REGIONS, Compartment, LabelConvention, Region
from brats_mm.domain.volume import Array, Grid
from brats_mm.preprocessing.regridding import move_to_grid
from brats_mm.trust.assess import Assessment, assess

CONVENTION = LabelConvention.BRATS2023


@dataclass(frozen=True)
class Measured:
    """Volume in millilitres and mean entropy in nats. The entropy is None for an empty region."""

    volume_ml: float
    mean_entropy_nats: float | None


@dataclass(frozen=True, eq=False)
class Findings:
    """Findings on one grid.

    Attributes:
        labels: compartments numbered as in BraTS 2023: necrosis 1, oedema 2, enhancing 3.
        entropy: entropy over the compartments in nats, 0 to ln 4.
        compartments: volume of each compartment and mean of `entropy` inside.
        regions: volume of each region and mean entropy of its own probability inside.
        used, missing: used and missing sequences.
        model: identity of the model.
        trust: expected Dice, grade, intervals and advice, from the probabilities on the grid of the case.
        warnings: the warnings of the report.
    """

    labels: Labels
    entropy: Array
    compartments: Mapping[Compartment, Measured]
    regions: Mapping[Region, Measured]
    used: Availability
    missing: Availability
    model: ModelIdentity
    trust: Assessment
    warnings: tuple[str, ...] = ()


def compute_findings(prediction: Prediction, grid: Grid) -> Findings:
    """Return the findings of a prediction on another grid, derived from resampled probabilities.

    If the grid has the same voxels in another axis order, they are only reordered.
    """
    probabilities = {
        region: move_to_grid(prediction.probabilities[region], prediction.case.grid, grid) for region in REGIONS
    }
    wt, tc, et = (np.clip(probabilities[region], 0, 1) for region in REGIONS)
    labels = merge_regions(wt >= THRESHOLD, tc >= THRESHOLD, et >= THRESHOLD, CONVENTION)
    entropy = np.asarray(compartment_entropy(*nest_probabilities(wt, tc, et)), np.float32)
    parts = {compartment: labels == CONVENTION.value_of(compartment) for compartment in Compartment}
    masks = extract_regions(labels, CONVENTION)
    trust = assess(prediction)
    return Findings(
        labels=labels,
        entropy=entropy,
        compartments={compartment: _measure(mask, entropy, grid) for compartment, mask in parts.items()},
        regions={
            region: _measure(masks[region], binary_entropy(probability), grid)
            for region, probability in zip(REGIONS, (wt, tc, et), strict=True)
        },
        used=prediction.case.available,
        missing=prediction.case.missing,
        model=prediction.model,
        trust=trust,
        warnings=trust.warnings,
    )


def _measure(mask: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]", entropy: Array, grid: Grid) -> Measured:
    inside = entropy[mask]
    return Measured(inside.size * grid.voxel_ml, float(inside.mean(dtype=np.float64)) if inside.size else None)
