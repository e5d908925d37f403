"""Transplant tumours of other cases into healthy parts of a brain.

After CarveMix (Zhang et al., MICCAI 2021, NeuroImage 2023) and TumorCP (Yang et al., MICCAI 2021), which mix lesions
between scans. Differences: a tumour keeps its relative position in the brain, or the mirrored one, with a small shift,
and never touches the case's own tumour. Intensities are matched to the new surroundings by mean and standard deviation
per sequence. The border is feathered. Mass effect is not modelled.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Shaped
from monai.transforms import RandomizableTransform
from torch import Tensor
from torch.nn import functional as F

from brats_mm.data.transforms import spread_indices
from brats_mm.domain.regions import Region
from brats_mm.domain.resample import find_bounding_box

FEATHER = 4
"""Voxels around a tumour over which it fades into its new surroundings."""

DONORS = 3
"""Number of donors to try before the case is left unchanged."""

MAX_ATTEMPTS = 8
"""Number of positions to try for a tumour before it is skipped."""

SHIFT = 0.05
"""Standard deviation of the shift of a tumour, as a fraction of the brain's size."""

INSIDE = 0.97
"""Fraction of a tumour that must be inside the brain."""

MIN_VOXELS = 30
"""Minimum size in voxels of a tumour, and of the surroundings used to match intensities."""

CONTRAST = (0.67, 1.5)
"""Bounds of the change of contrast."""


@runtime_checkable
class Donors(Protocol):
    """Prepared cases that provide tumours."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Mapping[Hashable, Any]: ...


@dataclass(frozen=True)
class Piece:
    """A tumour with its surroundings, cut from a case.

    Attributes:
        image: (m, h, w, d) z-scores of the box around the tumour.
        label: (3, h, w, d) masks of WT, TC, ET in the box.
        weight: (h, w, d), 1 in the tumour, falling to 0 around it, 0 outside the donor's brain.
        centre: centre of the tumour, as fractions of the brain's box.
    """

    image: Tensor
    label: Tensor
    weight: Tensor
    centre: np.ndarray


class RandTransplantTumourd(RandomizableTransform):
    """Give a case a second tumour, taken from another training case that has all of its sequences.

    Works on whole prepared cases (z-scored, cropped to the brain, RAS, with `centres`). Adds the new tumour voxels to
    `centres`, so that windows find them. Missing sequences stay exactly zero. Does nothing without donors (see
    `set_donors`).
    """

    def __init__(self, prob: float) -> None:
        super().__init__()
        self.share = prob
        self.donors: Donors | None = None

    def set_donors(self, donors: Donors) -> None:
        """Set the cases to take tumours from."""
        self.donors = donors

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        if self.donors is None or self.R.rand() >= self.share:
            return dict(data)
        for _ in range(DONORS):
            donor = self.donors[int(self.R.randint(len(self.donors)))]
            result = transplant_tumour(data, donor, self.R)
            if result["label"] is not data["label"]:
                return result
        return dict(data)


def transplant_tumour(
    case: Mapping[Hashable, Any], donor: Mapping[Hashable, Any], rng: np.random.RandomState
) -> dict[Hashable, Any]:
    """Return the case with a donor's tumour added, or unchanged if that is impossible.

    A transplant is impossible if both are the same case, the donor lacks a sequence of the case, or no position fits.
    """
    case_flags, donor_flags = torch.as_tensor(case["available"]), torch.as_tensor(donor["available"])
    itself = case.get("name") is not None and case.get("name") == donor.get("name")
    piece = None if itself or bool((case_flags & ~donor_flags).any()) else cut_tumour(donor)
    if piece is None:
        return dict(case)
    image, label = torch.as_tensor(case["image"]), torch.as_tensor(case["label"])
    for _ in range(MAX_ATTEMPTS):
        candidate = mirror(piece) if rng.rand() < 0.5 else piece
        middle = (candidate.centre + rng.normal(0, SHIFT, 3)) * np.array(image.shape[1:])
        placed = _insert(image, label, candidate, [round(float(at)) for at in middle])
        if placed is not None:
            result = {**case, "image": placed[0], "label": placed[1]}
            return (
                {**result, "centres": _extend_centres(case["centres"], placed[1], label)}
                if "centres" in case
                else result
            )
    return dict(case)


def cut_tumour(donor: Mapping[Hashable, Any]) -> Piece | None:
    """Cut the tumour of a case with up to `FEATHER` voxels of surroundings. Return None if it has no tumour."""
    image, label = torch.as_tensor(donor["image"]), torch.as_tensor(donor["label"])
    tumour = label[Region.WT.channel] > 0
    if int(tumour.sum()) < MIN_VOXELS:
        return None
    tight = zip(find_bounding_box(tumour.numpy()), tumour.shape, strict=True)
    i, j, k = (slice(max(0, part.start - FEATHER), min(side, part.stop + FEATHER)) for part, side in tight)
    centre = np.array([(part.start + part.stop) / 2 for part in (i, j, k)]) / tumour.shape
    inside = image[:, i, j, k]
    weight = feather(tumour[i, j, k]) * (inside != 0).any(dim=0)
    return Piece(inside, label[:, i, j, k], weight, centre)


def feather(tumour: Shaped[Tensor, "h w d"]) -> Float[Tensor, "h w d"]:
    """Return weights that are 1 in a tumour and fall to 0 over `FEATHER` voxels around it."""
    soft = tumour[None, None].float()
    for _ in range(FEATHER // 2):
        soft = F.max_pool3d(soft, 3, stride=1, padding=1)
    for _ in range(FEATHER // 2):
        # Repeat the nearest voxel outside the box, so that a tumour at the box's edge does not fade there.
        soft = F.avg_pool3d(F.pad(soft, [1] * 6, mode="replicate"), 3, stride=1)
    return soft[0, 0].clamp(0, 1)


def mirror(piece: Piece) -> Piece:
    """Mirror a tumour to the other hemisphere. The first axis runs from left to right."""
    centre = piece.centre.copy()
    centre[0] = 1 - centre[0]
    return Piece(piece.image.flip(1), piece.label.flip(1), piece.weight.flip(0), centre)


def _insert(image: Tensor, label: Tensor, piece: Piece, middle: list[int]) -> tuple[Tensor, Tensor] | None:
    """Insert a piece centred on a voxel and return image and masks. None if it does not fit."""
    size = piece.weight.shape
    starts = [at - side // 2 for at, side in zip(middle, size, strict=True)]
    target = [slice(max(0, s), min(n, s + side)) for s, side, n in zip(starts, size, image.shape[1:], strict=True)]
    if any(part.start >= part.stop for part in target):
        return None
    source = [slice(part.start - s, part.stop - s) for part, s in zip(target, starts, strict=True)]
    (i, j, k), (x, y, z) = target, source
    old, new = image[:, i, j, k], piece.image[:, x, y, z]
    brain = (old != 0).any(dim=0)
    tumour = piece.label[Region.WT.channel, x, y, z] > 0
    weight = piece.weight[x, y, z] * brain
    inside = int((tumour & brain).sum())
    case_tumour = label[Region.WT.channel, i, j, k] > 0
    if inside < INSIDE * int((piece.label[Region.WT.channel] > 0).sum()) or bool((case_tumour & (weight > 0)).any()):
        return None
    around = (weight > 0) & ~tumour
    if int(around.sum()) < MIN_VOXELS:
        return None
    mixed = weight * _match_intensities(new, old, around) + (1 - weight) * old
    result, masks = image.clone(), label.clone()
    result[:, i, j, k] = torch.where(old != 0, mixed.to(old.dtype), old)
    masks[:, i, j, k] = torch.maximum(label[:, i, j, k], piece.label[:, x, y, z] * brain)
    return result, masks


def _match_intensities(new: Tensor, old: Tensor, around: Tensor) -> Tensor:
    """Match the mean and standard deviation of the donor's intensities to the new surroundings."""
    matched = torch.empty_like(new)
    for channel in range(new.shape[0]):
        donor_values, case_values = new[channel][around], old[channel][around]
        contrast = (case_values.std() / donor_values.std().clamp(min=1e-6)).clamp(*CONTRAST)
        matched[channel] = (new[channel] - donor_values.mean()) * contrast + case_values.mean()
    return matched


def _extend_centres(centres: Any, label: Tensor, before: Tensor) -> list[Tensor]:
    """Return window centres including those in the new tumour, in the order of `CropCandidatesd`."""
    brain, *tumours = centres
    grown = []
    for old, region in zip(tumours, (Region.WT, Region.ET), strict=True):
        added = spread_indices((label[region.channel] > 0) & (before[region.channel] == 0))
        grown.append(torch.cat([torch.as_tensor(old), added]))
    return [torch.as_tensor(brain), *grown]
