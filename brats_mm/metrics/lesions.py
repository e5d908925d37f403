"""Lesion-wise Dice as BraTS 2023 counts it: each lesion by itself, made-up lesions as zeros.

Reference components (26-neighbourhood) that touch once both are dilated by three voxels are one lesion. A predicted
component belongs to every lesion whose dilated mask it meets; a lesion's Dice is that of the lesion and all that
belongs to it. Predicted components that belong to none are false lesions. Lesions of 50 mm3 or less are not scored, nor
is what was predicted on them.

`lesion-wise Dice = sum of the lesions' Dice / (scored lesions + false lesions)`
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool
from scipy.ndimage import binary_dilation, find_objects, generate_binary_structure, label

from brats_mm.domain.label_map import Mask
from brats_mm.metrics.empty import EmptyPolicy

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
    """

    box: Box
    mask: Mask
    reach: Mask
    scored: bool


@dataclass(frozen=True)
class LesionScore:
    """How a prediction did, lesion by lesion.

    Attributes:
        dice: lesion-wise Dice in [0, 1]; NaN where the policy leaves the case out.
        found: scored lesions that meet a prediction.
        missed: scored lesions that meet none.
        false: predicted components that meet no lesion.
    """

    dice: float
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
        lesions.append(Lesion(place, mask, reach, bool(mask.sum() * voxel_mm3 > SMALLEST_MM3)))
    return tuple(lesions)


def lesion_score(predicted: Bool[np.ndarray, "h w d"], lesions: tuple[Lesion, ...], policy: EmptyPolicy) -> LesionScore:
    """Score a prediction against a reference's lesions."""
    components, number = _components(predicted)
    sizes = np.bincount(components.reshape(-1), minlength=number + 1)
    belongs = np.zeros(number + 1, np.bool_)
    scores: list[float] = []
    for lesion in lesions:
        mine = np.unique(components[lesion.box][lesion.reach])
        mine = mine[mine > 0]
        belongs[mine] = True
        if lesion.scored:
            scores.append(_lesion_dice(components, sizes, lesion, mine))
    false = int(number - belongs.sum())
    found = sum(score >= 0 for score in scores)
    counts = {"found": found, "missed": len(scores) - found, "false": false}
    if not lesions and policy is EmptyPolicy.SKIP:
        return LesionScore(math.nan, **counts)
    parts = len(scores) + false
    return LesionScore(sum(max(score, 0.0) for score in scores) / parts if parts else 1.0, **counts)


def _lesion_dice(
    components: npt.NDArray[np.integer], sizes: npt.NDArray[np.integer], lesion: Lesion, mine: npt.NDArray[np.integer]
) -> float:
    """Dice of a lesion and the components that belong to it; -1 where none does."""
    if mine.size == 0:
        return -1.0
    shared = int(np.isin(components[lesion.box][lesion.mask], mine).sum())
    return 2 * shared / (int(sizes[mine].sum()) + int(lesion.mask.sum()))


def _components(mask: Mask) -> tuple[npt.NDArray[np.int32], int]:
    """Numbered components in the whole volume, 26-neighbourhood; only the box around them is searched."""
    numbered = np.zeros(mask.shape, np.int32)
    box = _box_around(mask, 0)
    if box is None:
        return numbered, 0
    numbered[box], number = label(mask[box], _TOUCH_26)
    return numbered, int(number)


def _dilated(mask: Mask) -> Mask:
    return np.asarray(binary_dilation(mask, _TOUCH_18, iterations=DILATION_VOXELS))


def _box_around(mask: Mask, margin: int) -> Box | None:
    boxes = find_objects(mask.astype(np.uint8))
    if not boxes:
        return None
    return tuple(
        slice(max(0, side.start - margin), min(size, side.stop + margin))
        for side, size in zip(boxes[0], mask.shape, strict=True)
    )
