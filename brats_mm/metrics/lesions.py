"""Lesion-wise Dice and HD95 as defined by BraTS 2023 for gliomas.

Reference components (26-neighbourhood) that touch after dilation by three voxels form one lesion. A predicted component
is assigned to every lesion whose dilated mask it overlaps. A lesion is scored against all components assigned to it.
Components assigned to no lesion are false positives of any size. Lesions of 50 mm3 or less, and the components assigned
to them, are not scored. If nothing is left to score, Dice is 1 and HD95 0 mm.

`lesion-wise Dice = sum of the lesions' Dice / (scored lesions + false lesions)`
`lesion-wise HD95 = (sum of the lesions' HD95 + 374 mm x false lesions) / (scored lesions + false lesions)`

A missed lesion has Dice 0 and HD95 374 mm. The rules are those of the challenge's code (rachitsaluja/
BraTS-2023-Metrics, BraTS-GLI: dilation 3, threshold 50) with two differences. HD95 is measured between voxel centres
(see `surface`), while the challenge weights surface elements by area. The policy `SKIP` skips cases with an empty
reference.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool
from scipy.ndimage import binary_dilation, find_objects, generate_binary_structure, label

from brats_mm.domain.label_map import Mask
from brats_mm.domain.resample import find_bounding_box
from brats_mm.metrics.empty import LESION_PENALTY_MM, EmptyPolicy
from brats_mm.metrics.surface import Points, compute_surface_hd95, find_surface_points

DILATION_VOXELS = 3
MIN_LESION_MM3 = 50.0

_TOUCH_26 = generate_binary_structure(3, 3)
_TOUCH_18 = generate_binary_structure(3, 2)

Box = tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class Lesion:
    """One reference lesion, cropped to the bounding box of its dilated mask.

    Attributes:
        box: the bounding box in the volume.
        mask: lesion mask inside the box.
        reach: dilated lesion mask inside the box.
        scored: whether the lesion is larger than 50 mm3.
        surface: surface points in millimetres from the volume's first voxel.
    """

    box: Box
    mask: Mask
    reach: Mask
    scored: bool
    surface: Points


@dataclass(frozen=True)
class LesionScore:
    """Lesion-wise scores of a prediction.

    Attributes:
        dice: lesion-wise Dice in [0, 1]. NaN if the policy skips the case.
        hd95_mm: lesion-wise HD95, at least 0 mm. NaN if the policy skips the case.
        detected: scored lesions with a predicted component.
        missed: scored lesions without one.
        false: predicted components assigned to no lesion.
    """

    dice: float
    hd95_mm: float
    detected: int
    missed: int
    false: int


def find_reference_lesions(
    reference: Bool[np.ndarray, "h w d"], spacing_mm: tuple[float, float, float]
) -> tuple[Lesion, ...]:
    """Return the lesions of a reference mask. Reuse them for the 15 subsets of a case.

    Args:
        reference: (h, w, d) mask of a region.
        spacing_mm: voxel spacing along each axis.
    """
    outer = _find_box(reference, DILATION_VOXELS + 1)
    if outer is None:
        return ()
    inner = reference[outer]
    groups, number = label(_dilate(inner), _TOUCH_26)
    voxel_mm3 = math.prod(spacing_mm)
    lesions = []
    for index, box in enumerate(find_objects(groups, number), start=1):
        mask = inner[box] & (groups[box] == index)
        reach = groups[box] == index
        lesion_box = tuple(
            slice(side.start + offset.start, side.stop + offset.start) for side, offset in zip(box, outer, strict=True)
        )
        scored = bool(mask.sum() * voxel_mm3 > MIN_LESION_MM3)
        corner = tuple(side.start for side in lesion_box)
        lesions.append(Lesion(lesion_box, mask, reach, scored, _find_surface(corner, mask, spacing_mm)))
    return tuple(lesions)


def score_lesions(
    predicted: Bool[np.ndarray, "h w d"],
    lesions: tuple[Lesion, ...],
    spacing_mm: tuple[float, float, float],
    policy: EmptyPolicy,
) -> LesionScore:
    """Score a predicted mask against reference lesions.

    Args:
        predicted: (h, w, d) mask of the same region.
        lesions: result of `find_reference_lesions`.
        spacing_mm: voxel spacing along each axis.
        policy: scoring of empty regions.
    """
    components, number, corner = _label_components(predicted)
    is_assigned = np.zeros(number + 1, np.bool_)
    dice, distances, detected = [], [], 0
    for lesion in lesions:
        in_components, in_lesion = _intersect_boxes(components.shape, corner, lesion.box)
        assigned = np.unique(components[in_components][lesion.reach[in_lesion]])
        assigned = assigned[assigned > 0]
        is_assigned[assigned] = True
        if lesion.scored:
            mask = np.isin(components, assigned)
            shared = int(np.count_nonzero(mask[in_components] & lesion.mask[in_lesion]))
            dice.append(_compute_dice(mask, lesion, shared))
            surface = _find_surface(corner, mask, spacing_mm)
            distance = compute_surface_hd95(surface, lesion.surface, EmptyPolicy.BRATS)
            distances.append(distance if assigned.size else LESION_PENALTY_MM)
            detected += assigned.size > 0
    false = int(number - is_assigned.sum())
    counts = {"detected": int(detected), "missed": len(dice) - int(detected), "false": false}
    if not lesions and policy is EmptyPolicy.SKIP:
        return LesionScore(math.nan, math.nan, **counts)
    parts = len(dice) + false
    if not parts:
        return LesionScore(1.0, 0.0, **counts)
    return LesionScore(sum(dice) / parts, (sum(distances) + LESION_PENALTY_MM * false) / parts, **counts)


def _compute_dice(predicted: Mask, lesion: Lesion, shared: int) -> float:
    """Return the Dice of a lesion and its assigned components, which share `shared` voxels."""
    return 2 * shared / (int(np.count_nonzero(predicted)) + int(np.count_nonzero(lesion.mask)))


def _intersect_boxes(shape: tuple[int, ...], corner: tuple[int, ...], box: Box) -> tuple[Box, Box]:
    """Return the intersection of the components' box and a lesion's box, in the indices of each."""
    in_components, in_lesion = [], []
    for size, start, side in zip(shape, corner, box, strict=True):
        low, high = max(start, side.start), min(start + size, side.stop)
        high = max(low, high)
        in_components.append(slice(low - start, high - start))
        in_lesion.append(slice(low - side.start, high - side.start))
    return tuple(in_components), tuple(in_lesion)


def _find_surface(corner: tuple[int, ...], mask: Mask, spacing_mm: tuple[float, float, float]) -> Points:
    """Return the surface points of a mask whose first voxel is voxel `corner` of the volume."""
    return np.asarray(find_surface_points(mask, spacing_mm) + np.array(corner) * np.asarray(spacing_mm, np.float64))


def _label_components(mask: Mask) -> tuple[npt.NDArray[np.int32], int, tuple[int, ...]]:
    """Label the 26-connected components. Return labels in the bounding box, their number and the box's corner."""
    box = _find_box(mask, 0)
    if box is None:
        return np.zeros((0, 0, 0), np.int32), 0, (0, 0, 0)
    numbered, number = label(mask[box], _TOUCH_26)
    return numbered, int(number), tuple(side.start for side in box)


def _dilate(mask: Mask) -> Mask:
    return np.asarray(binary_dilation(mask, _TOUCH_18, iterations=DILATION_VOXELS))


def _find_box(mask: Mask, margin: int) -> Box | None:
    if not mask.any():
        return None
    return tuple(
        slice(max(0, side.start - margin), min(size, side.stop + margin))
        for side, size in zip(find_bounding_box(mask), mask.shape, strict=True)
    )
