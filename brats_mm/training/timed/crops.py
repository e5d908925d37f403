"""Draw augmented crops from packed cases, with tensor operations that take a small fraction of a step."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from brats_mm.data.warp import build_rotation
from brats_mm.domain.modality import Modality
from brats_mm.training.timed.packing import PackedCase, unpack_image

Rng = np.random.Generator


@dataclass(frozen=True)
class CropSettings:
    """Crop and augmentation settings. Probabilities are per crop for shape and per channel for intensity.

    Attributes:
        side: side of the crop in voxels.
        kind_shares: probabilities of centring a crop on brain, oedema, non-enhancing core and enhancing tumour.
        affine_prob: probability of rotating and scaling a crop.
        rotation_rad: largest rotation about each axis in radians.
        zoom: largest relative change of size along each axis.
        slice_scaling_prob: probability of rescaling T1ce slice by slice.
    """

    side: int = 96
    kind_shares: tuple[float, float, float, float] = (0.15, 0.25, 0.3, 0.3)
    affine_prob: float = 0.4
    rotation_rad: float = 0.3
    zoom: float = 0.2
    contrast_prob: float = 0.5
    gamma_prob: float = 0.35
    noise_prob: float = 0.2
    blur_prob: float = 0.15
    low_resolution_prob: float = 0.2
    bias_prob: float = 0.3
    slice_scaling_prob: float = 0.15

    def scale_intensity_changes(self, factor: float) -> "CropSettings":
        """Return the settings with all probabilities of intensity changes times a factor, 0 to 1."""
        return replace(self, **{name: factor * getattr(self, name) for name in INTENSITY_CHANGES})


INTENSITY_CHANGES = (
    "contrast_prob",
    "gamma_prob",
    "noise_prob",
    "blur_prob",
    "low_resolution_prob",
    "bias_prob",
    "slice_scaling_prob",
)
"""Settings of the changes of intensity."""


@dataclass(frozen=True, eq=False)
class Crop:
    """One augmented crop.

    Attributes:
        image: (m, s, s, s) z-scores, zero outside the brain.
        target: (3, s, s, s) float masks of WT, TC, ET.
        available: (m,) booleans, true for the sequences of the case.
    """

    image: Tensor
    target: Tensor
    available: Tensor


def draw_crop(case: PackedCase, settings: CropSettings, rng: Rng) -> Crop:
    """Draw one crop of a case.

    Args:
        case: packed case.
        settings: crop and augmentation settings.
        rng: source of randomness.
    """
    centre = draw_centre(case, settings.kind_shares, rng)
    if rng.random() < settings.affine_prob:
        matrix = draw_affine(settings, rng)
        levels, labels = cut_warped_crop(case, centre, settings.side, matrix)
    else:
        levels, labels = cut_plain_crop(case, centre, settings.side)
    image = unpack_image(levels, case.scale, case.offset)
    brain = levels != 0
    for axis, share in ((1, 0.5), (2, 0.1), (3, 0.1)):
        if rng.random() < share:
            image, brain, labels = image.flip(axis), brain.flip(axis), labels.flip(axis - 1)
    for channel in np.flatnonzero(case.available):
        image[channel] = change_intensity(image[channel], int(channel), settings, rng) * brain[channel]
    target = torch.stack([labels >= value for value in (1, 2, 3)]).float()
    return Crop(image, target, torch.from_numpy(case.available))


def draw_centre(case: PackedCase, shares: Sequence[float], rng: Rng) -> tuple[int, int, int]:
    """Draw the centre of a crop from a random kind of tissue, by the shares of the kinds that the case has.

    Args:
        case: packed case.
        shares: probability of each kind of tissue.
        rng: source of randomness.
    """
    present = np.array([share if len(centres) else 0.0 for share, centres in zip(shares, case.centres, strict=True)])
    kind = int(rng.choice(len(present), p=present / present.sum()))
    index = int(rng.choice(case.centres[kind]))
    x, y, z = np.unravel_index(index, case.labels.shape)
    return int(x), int(y), int(z)


def draw_affine(settings: CropSettings, rng: Rng) -> npt.NDArray[np.float32]:
    """Draw a rotation with anisotropic scaling, (3, 3), from offsets in the crop to offsets in the case."""
    angles = rng.uniform(-settings.rotation_rad, settings.rotation_rad, 3)
    zoom = rng.uniform(1 - settings.zoom, 1 + settings.zoom, 3)
    return np.asarray(build_rotation(*angles) * zoom, np.float32)


def cut_plain_crop(case: PackedCase, centre: Sequence[int], side: int) -> tuple[Tensor, Tensor]:
    """Return grey levels (m, s, s, s) and labels (s, s, s) around a centre, shifted inside the case if possible.

    Args:
        case: packed case.
        centre: voxel at the centre.
        side: side of the crop in voxels.
    """
    starts = [_start(middle, size, side) for middle, size in zip(centre, case.labels.shape, strict=True)]
    return cut(case, starts, side)


def cut(case: PackedCase, starts: Sequence[int], side: int) -> tuple[Tensor, Tensor]:
    """Return grey levels (m, s, s, s) and labels (s, s, s) of a cube with corner `starts`, zero outside the case.

    Args:
        case: packed case.
        starts: first voxel of the cube along each axis. May lie outside the case.
        side: side of the cube in voxels.
    """
    levels = np.zeros((len(case.image), side, side, side), np.uint8)
    labels = np.zeros((side, side, side), np.uint8)
    source, target = [], []
    for start, size in zip(starts, case.labels.shape, strict=True):
        first, last = max(0, start), max(0, start, min(size, start + side))
        source.append(slice(first, last))
        target.append(slice(first - start, last - start))
    levels[(slice(None), *target)] = case.image[(slice(None), *source)]
    labels[tuple(target)] = case.labels[tuple(source)]
    return torch.from_numpy(levels), torch.from_numpy(labels)


def cut_warped_crop(
    case: PackedCase, centre: Sequence[int], side: int, matrix: npt.NDArray[np.float32]
) -> tuple[Tensor, Tensor]:
    """Return a crop like `cut_plain_crop` through an affine map, with linear interpolation and nearest labels.

    Args:
        case: packed case.
        centre: voxel at the centre.
        side: side of the crop in voxels.
        matrix: (3, 3) from offsets in the crop to offsets in the case.
    """
    reach = int(np.ceil(np.abs(matrix).sum(axis=1).max() * side / 2)) + 1
    middles = _clamp(centre, case.labels.shape, side)
    levels, labels = cut(case, [middle - reach for middle in middles], 2 * reach)
    axis = (torch.arange(side, dtype=torch.float32) - (side - 1) / 2) / (reach - 0.5)
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1) @ torch.from_numpy(matrix).T
    grid = grid.flip(-1)[None]
    brain = (levels != 0).any(dim=0)
    nearest = F.grid_sample(
        torch.stack([labels, brain]).float()[None], grid, mode="nearest", padding_mode="zeros", align_corners=True
    )[0]
    smooth = F.grid_sample(levels.float()[None], grid, mode="bilinear", padding_mode="zeros", align_corners=True)[0]
    smooth = (smooth * nearest[1]).round_()
    return smooth, nearest[0].to(torch.uint8)


def change_intensity(volume: Tensor, channel: int, settings: CropSettings, rng: Rng) -> Tensor:
    """Change a channel's intensities to simulate other scanners and protocols. The caller restores the background.

    Args:
        volume: (s, s, s) z-scores of one channel.
        channel: index of the channel.
        settings: augmentation settings.
        rng: source of randomness.
    """
    if rng.random() < settings.gamma_prob:
        low, high = volume.amin(), volume.amax()
        span = (high - low).clamp(min=1e-6)
        gamma = float(np.exp(rng.uniform(-0.5, 0.5)))
        volume = ((volume - low) / span).pow_(gamma) * span + low
    if rng.random() < settings.low_resolution_prob:
        volume = lower_resolution(volume, rng)
    if rng.random() < settings.blur_prob:
        volume = blur(volume, float(rng.uniform(0.4, 1.0)))
    if rng.random() < settings.bias_prob:
        volume = volume * smooth_field(volume.shape, float(rng.uniform(0.05, 0.35)), rng)
    if channel == Modality.T1CE.channel and rng.random() < settings.slice_scaling_prob:
        volume = scale_slices(volume, rng)
    if rng.random() < settings.contrast_prob:
        volume = volume * float(rng.uniform(0.65, 1.5)) + float(rng.uniform(-0.4, 0.4))
    if rng.random() < settings.noise_prob:
        volume = volume + torch.randn(volume.shape, generator=_make_generator(rng)) * float(rng.uniform(0.02, 0.3))
    return volume


def lower_resolution(volume: Tensor, rng: Rng) -> Tensor:
    """Downsample a volume and upsample it again, along all axes or along one (thick slices)."""
    factors = np.ones(3)
    if rng.random() < 0.5:
        factors[int(rng.integers(3))] = rng.uniform(0.2, 0.6)
    else:
        factors[:] = rng.uniform(0.4, 0.8)
    sides = [max(2, round(side * factor)) for side, factor in zip(volume.shape, factors, strict=True)]
    coarse = F.interpolate(volume[None, None], size=sides, mode="trilinear", align_corners=False)
    return F.interpolate(coarse, size=list(volume.shape), mode="trilinear", align_corners=False)[0, 0]


def blur(volume: Tensor, sigma: float) -> Tensor:
    """Blur with a Gaussian kernel of five voxels along each axis."""
    taps = torch.exp(-0.5 * (torch.arange(-2, 3, dtype=torch.float32) / sigma) ** 2)
    taps = taps / taps.sum()
    result = volume[None, None]
    for axis in range(3):
        shape = [1, 1, 1, 1, 1]
        shape[2 + axis] = 5
        padding = [0, 0, 0]
        padding[axis] = 2
        result = F.conv3d(result, taps.reshape(shape), padding=padding)
    return result[0, 0]


def smooth_field(shape: Sequence[int], strength: float, rng: Rng) -> Tensor:
    """Draw a smooth positive field around 1: the exponential of interpolated random control points.

    Args:
        shape: shape of the field.
        strength: standard deviation of the logarithm at the control points.
        rng: source of randomness.
    """
    points = torch.from_numpy(rng.normal(0.0, strength, (1, 1, 4, 4, 4)).astype(np.float32))
    return torch.exp(F.interpolate(points, size=list(shape), mode="trilinear", align_corners=True)[0, 0])


def scale_slices(volume: Tensor, rng: Rng) -> Tensor:
    """Scale each slice along a random axis by a different factor, as in images normalised slice by slice."""
    axis = int(rng.integers(3))
    factors = np.exp(rng.normal(0.0, 0.15, volume.shape[axis])).astype(np.float32)
    shape = [1, 1, 1]
    shape[axis] = volume.shape[axis]
    return volume * torch.from_numpy(factors).reshape(shape)


def _start(middle: int, size: int, side: int) -> int:
    """Return the start of a crop, which lies inside the case if it fits and is centred on the case otherwise."""
    return -((side - size) // 2) if size < side else min(max(0, middle - side // 2), size - side)


def _clamp(centre: Sequence[int], shape: Sequence[int], side: int) -> list[int]:
    return [_start(middle, size, side) + side // 2 for middle, size in zip(centre, shape, strict=True)]


def _make_generator(rng: Rng) -> torch.Generator:
    return torch.Generator().manual_seed(int(rng.integers(2**31)))
