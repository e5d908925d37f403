"""Lesion-wise Dice and HD95 as BraTS 2023 counts them for gliomas: each lesion by itself, made-up lesions penalised.

Reference components (26-neighbourhood) that touch once both are dilated by three voxels are one lesion. A predicted
component belongs to every lesion whose dilated mask it meets, even to several; a lesion's scores are those of the
lesion and all that belongs to it. Predicted components that belong to none are false lesions, however small. Lesions of
50 mm3 or less are not scored, nor is what was predicted on them. With nothing to score, Dice is 1 and HD95 0 mm.

`lesion-wise Dice = sum of the lesions' Dice / (scored lesions + false lesions)`
`lesion-wise HD95 = (sum of the lesions' HD95 + 374 mm x false lesions) / (scored lesions + false lesions)`

A missed lesion has Dice 0 and HD95 374 mm. The rules are those of the challenge's code (rachitsaluja/
BraTS-2023-Metrics, BraTS-GLI: dilation 3, threshold 50). Departures: HD95 runs between voxel centres (see `surface`),
where the challenge weighs surface elements by area; and under the policy `SKIP` a case without a reference voxel is
left out.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool
from scipy.ndimage import binary_dilation, find_objects, generate_binary_structure, label

from brats_mm.domain.label_map import Mask
from brats_mm.domain.resample import bounding_box
from brats_mm.metrics.empty import LESION_PENALTY_MM, EmptyPolicy
from brats_mm.metrics.surface import Points, hd95_of_surfaces, surface_points

DILATION_VOXELS = 3
SMALLEST_MM3 = 50.0

_TOUCH_26 = generate_binary_structure(3, 3)
_TOUCH_18 = generate_binary_structure(3, 2)

Box = tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class Lesion:
    """One reference lesion inside a box of the volume that holds its dilated mask.

    Attributes:
        box: where in the volume.
        mask: its voxels, inside the box.
        reach: its dilated voxels, inside the box.
        scored: whether it is larger than 50 mm3.
        surface: its surface points, in millimetres from the volume's first voxel.
    """

    box: Box
    mask: Mask
    reach: Mask
    scored: bool
    surface: Points


@dataclass(frozen=True)
class LesionScore:
    """How a prediction did, lesion by lesion.

    Attributes:
        dice: lesion-wise Dice in [0, 1]; NaN where the policy leaves the case out.
        hd95_mm: lesion-wise HD95, 0 to 374 mm or more; NaN where the policy leaves the case out.
        found: scored lesions that meet a prediction.
        missed: scored lesions that meet none.
        false: predicted components that meet no lesion.
    """

    dice: float
    hd95_mm: float
    found: int
    missed: int
    false: int


def reference_lesions(
    reference: Bool[np.ndarray, "h w d"], spacing_mm: tuple[float, float, float]
) -> tuple[Lesion, ...]:
    """The lesions of a reference mask; worth keeping, since a case is scored against them 15 times."""
    outer = _box_around(reference, DILATION_VOXELS + 1)
    if outer is None:
        return ()
    inner = reference[outer]
    groups, number = label(_dilated(inner), _TOUCH_26)
    voxel_mm3 = math.prod(spacing_mm)
    lesions = []
    for index, box in enumerate(find_objects(groups, number), start=1):
        mask = inner[box] & (groups[box] == index)
        reach = groups[box] == index
        place = tuple(
            slice(side.start + offset.start, side.stop + offset.start) for side, offset in zip(box, outer, strict=True)
        )
        scored = bool(mask.sum() * voxel_mm3 > SMALLEST_MM3)
        corner = tuple(side.start for side in place)
        lesions.append(Lesion(place, mask, reach, scored, _surface_in(corner, mask, spacing_mm)))
    return tuple(lesions)


def lesion_score(
    predicted: Bool[np.ndarray, "h w d"],
    lesions: tuple[Lesion, ...],
    spacing_mm: tuple[float, float, float],
    policy: EmptyPolicy,
) -> LesionScore:
    """Score a prediction against a reference's lesions."""
    components, number, corner = _components(predicted)
    belongs = np.zeros(number + 1, np.bool_)
    dice, distances, found = [], [], 0
    for lesion in lesions:
        here, there = _shared(components.shape, corner, lesion.box)
        mine = np.unique(components[here][lesion.reach[there]])
        mine = mine[mine > 0]
        belongs[mine] = True
        if lesion.scored:
            is_mine = np.zeros(number + 1, np.bool_)
            is_mine[mine] = True
            own = is_mine[components]
            dice.append(_dice(own, lesion, int(np.count_nonzero(own[here] & lesion.mask[there]))))
            surface = _surface_in(corner, own, spacing_mm)
            distance = hd95_of_surfaces(surface, lesion.surface, EmptyPolicy.BRATS)
            distances.append(distance if mine.size else LESION_PENALTY_MM)
            found += mine.size > 0
    false = int(number - belongs.sum())
    counts = {"found": int(found), "missed": len(dice) - int(found), "false": false}
    if not lesions and policy is EmptyPolicy.SKIP:
        return LesionScore(math.nan, math.nan, **counts)
    parts = len(dice) + false
    if not parts:
        return LesionScore(1.0, 0.0, **counts)
    return LesionScore(sum(dice) / parts, (sum(distances) + LESION_PENALTY_MM * false) / parts, **counts)


def _dice(own: Mask, lesion: Lesion, shared: int) -> float:
    """Of a lesion and the components that belong to it."""
    return 2 * shared / (int(np.count_nonzero(own)) + int(np.count_nonzero(lesion.mask)))


def _shared(shape: tuple[int, ...], corner: tuple[int, ...], box: Box) -> tuple[Box, Box]:
    """What a lesion's box and the components' one have in common, in the places of each; empty where nothing."""
    here, there = [], []
    for size, start, side in zip(shape, corner, box, strict=True):
        low, high = max(start, side.start), min(start + size, side.stop)
        high = max(low, high)
        here.append(slice(low - start, high - start))
        there.append(slice(low - side.start, high - side.start))
    return tuple(here), tuple(there)


def _surface_in(corner: tuple[int, ...], mask: Mask, spacing_mm: tuple[float, float, float]) -> Points:
    """Of a mask whose first voxel lies at a corner of the volume."""
    return np.asarray(surface_points(mask, spacing_mm) + np.array(corner) * np.asarray(spacing_mm, np.float64))


def _components(mask: Mask) -> tuple[npt.NDArray[np.int32], int, tuple[int, ...]]:
    """Components by number, 26-neighbourhood, in the box around them; how many; and where the box begins."""
    box = _box_around(mask, 0)
    if box is None:
        return np.zeros((0, 0, 0), np.int32), 0, (0, 0, 0)
    numbered, number = label(mask[box], _TOUCH_26)
    return numbered, int(number), tuple(side.start for side in box)


def _dilated(mask: Mask) -> Mask:
    return np.asarray(binary_dilation(mask, _TOUCH_18, iterations=DILATION_VOXELS))


def _box_around(mask: Mask, margin: int) -> Box | None:
    if not mask.any():
        return None
    return tuple(
        slice(max(0, side.start - margin), min(size, side.stop + margin))
        for side, size in zip(bounding_box(mask), mask.shape, strict=True)
    )
