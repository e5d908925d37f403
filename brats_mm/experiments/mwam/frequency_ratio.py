"""Frequency ratio of an image: how much of it is in low spatial frequencies, patch by patch (MWAM's metric).

Source: Lu et al., "Plug, Play, and Fortify", ICLR 2026, equations 2 to 6, and its released code. Each patch of 8x8
pixels is taken apart by an orthonormal two-dimensional discrete cosine transform (DCT-II). The 2x2 lowest coefficients
are divided by the 2x2 highest, the lowest by the highest, and the absolute ratios are added up. A modality with a high
ratio is one that a network will come to prefer.

Departures and choices:

* The paper adds up over all patches; here it is the mean over patches, so that windows with more or less brain compare.
  Within one batch the relative scores are the same, since all modalities of a sample have the same patches.
* The paper has pictures. A volume is taken slice by slice, along its last axis, or (`volumetric`) in cubes with a
  three-dimensional transform.
* Only patches that lie wholly inside count (`inside`, the brain): the edge of a skull-stripped head is nobody's
  anatomy.
* The released sigma of 1e-6 is added to a high coefficient as it is, so one that is nearly zero rules the sum, and
  smooth, normalised MRI is full of them. `relative_sigma` adds that share of the patch's root mean square coefficient
  to the high coefficient's absolute value instead, which bounds each ratio.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from brats_mm.errors import OptionError


@dataclass(frozen=True)
class RatioSettings:
    """How the ratio is taken.

    Attributes:
        patch: pixels a side of a patch.
        corner: coefficients a side of the low and of the high block; twice it is at most `patch`.
        volumetric: cubes instead of squares in each slice; only for volumes.
        sigma: added to a high coefficient (the released code).
        relative_sigma: above 0, the share of the patch's root mean square coefficient that is added to the high
            coefficient's absolute value, in the place of `sigma`.
    """

    patch: int = 8
    corner: int = 2
    volumetric: bool = False
    sigma: float | int = 1e-6
    relative_sigma: float | int = 0.0

    def __post_init__(self) -> None:
        if not 0 < 2 * self.corner <= self.patch:
            message = (
                f"The frequency ratio was given blocks of {self.corner} coefficients a side in patches of "
                f"{self.patch}; a block has at least one, and two of them fit side by side."
            )
            raise OptionError(message)


def dct_matrix(side: int) -> Float[Tensor, "side side"]:
    """The orthonormal DCT-II: row u is frequency u, `sqrt(2 / n) cos(pi (2 i + 1) u / (2 n))`, row 0 `1 / sqrt(n)`."""
    index = torch.arange(side, dtype=torch.float64)
    matrix = math.sqrt(2 / side) * torch.cos(math.pi * (2 * index[None] + 1) * index[:, None] / (2 * side))
    matrix[0] = 1 / math.sqrt(side)
    return matrix.float()


def patch_ratios(
    image: Float[Tensor, "b m *space"], settings: RatioSettings = RatioSettings()
) -> Float[Tensor, "b m patches"]:
    """The sum of low over high coefficients of every whole patch; what a side leaves over beyond whole patches is cut.

    Args:
        image: (b, m, h, w) pictures or (b, m, h, w, d) volumes, whose slices lie along d.
    """
    patch, corner = settings.patch, settings.corner
    axes = 3 if settings.volumetric else 2
    tiles = _tiles(image.float(), patch, axes)  # (b m patches, then the sides of a patch)
    matrix = dct_matrix(patch).to(image.device)
    both_ends = torch.cat([matrix[:corner], matrix[-corner:]])  # (2q p); the rest is never looked at
    coefficients = tiles
    for axis in range(3, 3 + axes):
        coefficients = torch.tensordot(coefficients, both_ends, dims=([axis], [1])).movedim(-1, axis)
    low: tuple[Any, ...] = (..., *[slice(None, corner)] * axes)
    high: tuple[Any, ...] = (..., *[slice(corner, None)] * axes)
    flipped = coefficients[high].flip(list(range(3, 3 + axes)))
    sides = list(range(3, 3 + axes))
    if settings.relative_sigma > 0:
        energy = tiles.square().mean(dim=sides, keepdim=True).sqrt()  # Parseval: the coefficients' root mean square
        divisor = flipped.abs() + settings.relative_sigma * energy
        ratios = torch.where(divisor > 0, coefficients[low].abs() / divisor, 0.0)
    else:
        ratios = (coefficients[low] / (flipped + settings.sigma)).abs()
    return ratios.sum(dim=sides)


def frequency_ratio(
    image: Float[Tensor, "b m *space"],
    available: Bool[Tensor, "b m"],
    *,
    inside: Bool[Tensor, "b ..."] | None = None,
    settings: RatioSettings = RatioSettings(),
) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
    """Of each modality, the sum of the ratios of its patches in a batch, and how many patches these are.

    Their quotient is the modality's ratio; they are given apart, so that processes can add theirs up. A modality that
    no sample has, or without a patch inside, has no patches.

    Args:
        image: whole inputs, before anything is dropped on purpose.
        available: which samples have which modality.
        inside: patches count that lie wholly in it; everywhere where it is not given.
    """
    ratios = patch_ratios(image, settings)
    counted = available[:, :, None].expand(ratios.shape)
    if inside is not None:
        axes = 3 if settings.volumetric else 2
        whole = _tiles(inside[:, None].float(), settings.patch, axes).flatten(3).amin(dim=3) == 1  # (b 1 patches)
        counted = counted & whole
    return torch.where(counted, ratios, 0.0).sum(dim=(0, 2)), counted.sum(dim=(0, 2)).float()


def _tiles(image: Float[Tensor, "b m *space"], side: int, axes: int) -> Float[Tensor, "b m patches *sides"]:
    """Whole patches over the first `axes` axes of space; what lies behind these axes counts as further patches."""
    for axis in range(2, 2 + axes):
        image = image.narrow(axis, 0, image.shape[axis] // side * side)
    for axis in range(2, 2 + axes):  # each splits into (how many, side); the sides gather at the end
        image = image.unflatten(axis, (-1, side)).movedim(axis + 1, -1)  # type: ignore[no-untyped-call]
    return image.flatten(2, image.dim() - axes - 1)
