"""Frequency ratio of an image: low against high spatial frequencies per patch (MWAM's metric).

Source: Lu et al., "Plug, Play, and Fortify", ICLR 2026, equations 2 to 6, and its released code. An orthonormal 2D
discrete cosine transform (DCT-II) is applied to each patch of 8x8 pixels. The 2x2 lowest coefficients are divided by
the 2x2 highest, and the absolute ratios are summed. Networks tend to prefer modalities with a high ratio.

Differences from the paper:

* Ratios are averaged over patches instead of summed, so that windows with more or less brain are comparable. The
  relative scores within a batch are the same.
* Volumes are processed in slices along the last axis, or with `volumetric` in cubes by a 3D transform.
* Only patches fully inside the brain (`inside`) count. The edge of a skull-stripped head is not anatomy.
* The released code adds sigma = 1e-6 to each high coefficient, so coefficients near zero dominate the sum, and smooth
  MRI has many. `relative_sigma` instead adds a fraction of the patch's root mean square coefficient to the absolute
  value of the high coefficient, which bounds each ratio.
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
    """Settings of the frequency ratio.

    Attributes:
        patch: side of a patch in pixels.
        corner: side of the low and the high block in coefficients, at most half of `patch`.
        volumetric: use cubes instead of squares per slice. Volumes only.
        sigma: value added to each high coefficient (released code).
        relative_sigma: if above 0, replaces `sigma`: fraction of the patch's root mean square coefficient that is added
            to the absolute value of each high coefficient.
    """

    patch: int = 8
    corner: int = 2
    volumetric: bool = False
    sigma: float | int = 1e-6
    relative_sigma: float | int = 0.0

    def __post_init__(self) -> None:
        if not 0 < 2 * self.corner <= self.patch:
            raise OptionError(
                f"The frequency ratio has blocks of {self.corner} coefficients per side in patches of {self.patch}. "
                "Use at least one coefficient and at most half of the patch."
            )


def build_dct_matrix(side: int) -> Float[Tensor, "side side"]:
    """Return the orthonormal DCT-II: `sqrt(2 / n) cos(pi (2 i + 1) u / (2 n))` in row u, `1 / sqrt(n)` in row 0."""
    index = torch.arange(side, dtype=torch.float64)
    matrix = math.sqrt(2 / side) * torch.cos(math.pi * (2 * index[None] + 1) * index[:, None] / (2 * side))
    matrix[0] = 1 / math.sqrt(side)
    return matrix.float()


def compute_patch_ratios(
    image: Float[Tensor, "b m *space"], settings: RatioSettings = RatioSettings()
) -> Float[Tensor, "b m patches"]:
    """Return the sum of low over high coefficients of every complete patch. Incomplete patches are cropped.

    Args:
        image: (b, m, h, w) images or (b, m, h, w, d) volumes with slices along d.
        settings: size and number of the patches, and the guards of the ratio.
    """
    patch, corner = settings.patch, settings.corner
    axes = 3 if settings.volumetric else 2
    tiles = _split_into_tiles(image.float(), patch, axes)  # (b m patches, then the sides of a patch)
    matrix = build_dct_matrix(patch).to(image.device)
    both_ends = torch.cat([matrix[:corner], matrix[-corner:]])  # (2q p), the only rows that are needed
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


def compute_frequency_ratio(
    image: Float[Tensor, "b m *space"],
    available: Bool[Tensor, "b m"],
    *,
    inside: Bool[Tensor, "b ..."] | None = None,
    settings: RatioSettings = RatioSettings(),
) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
    """Return the sum of patch ratios and the number of patches of each modality in a batch.

    Their quotient is the modality's ratio. They are separate so that distributed processes can sum them. A modality
    that no sample has, or without a patch inside, has no patches.

    Args:
        image: complete inputs, before any modality is dropped.
        available: availability of each sample's modalities.
        inside: mask of valid patches, which must lie fully inside. Default: everywhere.
        settings: see `compute_patch_ratios`.
    """
    ratios = compute_patch_ratios(image, settings)
    is_counted = available[:, :, None].expand(ratios.shape)
    if inside is not None:
        axes = 3 if settings.volumetric else 2
        is_complete = (
            _split_into_tiles(inside[:, None].float(), settings.patch, axes).flatten(3).amin(dim=3) == 1
        )  # (b 1 patches)
        is_counted = is_counted & is_complete
    return torch.where(is_counted, ratios, 0.0).sum(dim=(0, 2)), is_counted.sum(dim=(0, 2)).float()


def _split_into_tiles(image: Float[Tensor, "b m *space"], side: int, axes: int) -> Float[Tensor, "b m patches *sides"]:
    """Split the first `axes` spatial axes into complete patches. Further axes count as additional patches."""
    for axis in range(2, 2 + axes):
        image = image.narrow(axis, 0, image.shape[axis] // side * side)
    for axis in range(2, 2 + axes):  # split each axis into (count, side) and move the sides to the end
        image = image.unflatten(axis, (-1, side)).movedim(axis + 1, -1)  # type: ignore[no-untyped-call]
    return image.flatten(2, image.dim() - axes - 1)
