"""Overlap and distance scores of one prediction against one reference, with and without the small-ET rule."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from brats_mm.domain.label_map import Mask
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.metrics.empty import EmptyPolicy, relabel_small_enhancing
from brats_mm.metrics.lesions import Lesion, find_reference_lesions, score_lesions
from brats_mm.metrics.overlap import compute_overlap, count
from brats_mm.metrics.surface import Points, compute_surface_hd95, find_surface_points


class Rule(str, Enum):
    """Post-processing applied to a prediction before scoring. Papers differ."""

    RAW = "raw"
    """No rule, as in SimMLM."""

    ET500 = "et500"
    """Enhancing tumour of fewer than 500 voxels becomes necrosis, as in DeMoSeg."""


@dataclass(frozen=True)
class RegionScores:
    """Scores of one region. NaN if the policy skips the case or a denominator is zero.

    Attributes:
        dice, sensitivity, precision: voxel-wise, in [0, 1].
        hd95_mm: 95th percentile Hausdorff distance in millimetres.
        lesion_dice, lesion_hd95_mm: lesion-wise Dice of BraTS 2023, in [0, 1], and lesion-wise HD95 in millimetres.
        lesions_found, lesions_missed, lesions_false: detected and missed lesions above 50 mm3, and false positives.
        predicted_voxels, reference_voxels: region sizes, sufficient to apply another empty-region policy later.
    """

    dice: float
    hd95_mm: float
    sensitivity: float
    precision: float
    lesion_dice: float
    lesion_hd95_mm: float
    lesions_found: int
    lesions_missed: int
    lesions_false: int
    predicted_voxels: int
    reference_voxels: int


@dataclass(frozen=True, eq=False)
class Reference:
    """A reference with everything that scoring needs, computed once per case.

    Attributes:
        masks: region -> mask. Scores cover the masks' bounding box.
        surfaces: region -> surface points in millimetres.
        lesions: region -> lesions.
        spacing_mm: voxel spacing.
    """

    masks: Mapping[Region, Mask]
    surfaces: Mapping[Region, Points]
    lesions: Mapping[Region, tuple[Lesion, ...]]
    spacing_mm: tuple[float, float, float]


def prepare_reference(masks: Mapping[Region, Mask], spacing_mm: tuple[float, float, float]) -> Reference:
    """Prepare a reference from its region masks.

    Args:
        masks: region -> mask (h, w, d).
        spacing_mm: voxel spacing along each axis.
    """
    return Reference(
        masks,
        {region: find_surface_points(masks[region], spacing_mm) for region in REGIONS},
        {region: find_reference_lesions(masks[region], spacing_mm) for region in REGIONS},
        spacing_mm,
    )


def score_regions(
    masks: Mapping[Region, Mask], reference: Reference, policy: EmptyPolicy
) -> dict[Rule, dict[Region, RegionScores]]:
    """Score the three regions with and without the small-ET rule, which only changes ET.

    Args:
        masks: region -> predicted mask, of the shape of the reference masks.
        reference: reference from `prepare_reference`.
        policy: scoring of empty regions.

    Returns:
        Scores by rule and region.
    """
    raw = {region: _score(masks[region], region, reference, policy) for region in REGIONS}
    after = relabel_small_enhancing(dict(masks))
    if np.shares_memory(after[Region.ET], masks[Region.ET]):
        return {Rule.RAW: raw, Rule.ET500: raw}
    ruled = {**raw, Region.ET: _score(after[Region.ET], Region.ET, reference, policy)}
    return {Rule.RAW: raw, Rule.ET500: ruled}


def _score(mask: Mask, region: Region, reference: Reference, policy: EmptyPolicy) -> RegionScores:
    counts = count(mask, reference.masks[region])
    voxels = compute_overlap(counts, policy)
    lesions = score_lesions(mask, reference.lesions[region], reference.spacing_mm, policy)
    return RegionScores(
        dice=voxels.dice,
        hd95_mm=compute_surface_hd95(
            find_surface_points(mask, reference.spacing_mm), reference.surfaces[region], policy
        ),
        sensitivity=voxels.sensitivity,
        precision=voxels.precision,
        lesion_dice=lesions.dice,
        lesion_hd95_mm=lesions.hd95_mm,
        lesions_found=lesions.detected,
        lesions_missed=lesions.missed,
        lesions_false=lesions.false,
        predicted_voxels=counts.predicted,
        reference_voxels=counts.reference,
    )
