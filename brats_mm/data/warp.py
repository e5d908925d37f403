"""Rotation, zoom and smooth elastic deformation of a window, in one pass over its voxels.

The deformation is given by few control points with cubic B-splines (free-form deformation of Rueckert et al., IEEE TMI
1999). Each derivative is at most twice the largest coefficient divided by the distance of the control points. With
coefficients below a sixth of that distance, the sum over three axes stays below 1, so the mapping cannot fold (its
Jacobian is positive everywhere).
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from monai.transforms import RandomizableTransform
from torch import Tensor
from torch.nn import functional as F

INTERVALS = 3
"""Distances between control points along the shortest side of a window."""

STRENGTH = 0.16
"""Largest coefficient as a fraction of the distance between control points. Folding is possible from 1/6."""


class RandWarpd(RandomizableTransform):
    """Crop the centre of a larger window, with random rotation, zoom and elastic deformation.

    Images are interpolated linearly and set to exactly zero outside the warped brain, which keeps its edge sharp. Masks
    take the nearest voxel. The results are plain tensors, because a warped window has no position in the patient.

    Args:
        window: sides of the result in voxels.
        affine_prob: probability of rotation and zoom.
        elastic_prob: probability of elastic deformation.
        rotation_rad: largest rotation about each axis in radians.
        zoom: largest relative change of size along each axis.
    """

    def __init__(
        self,
        window: Sequence[int],
        *,
        affine_prob: float = 0.35,
        elastic_prob: float = 0.2,
        rotation_rad: float = 0.26,
        zoom: float = 0.2,
    ) -> None:
        super().__init__()
        self.window = (int(window[0]), int(window[1]), int(window[2]))
        self.affine_prob = affine_prob
        self.elastic_prob = elastic_prob
        self.rotation_rad = rotation_rad
        self.zoom = zoom

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        image, label = torch.as_tensor(data["image"]), torch.as_tensor(data["label"])
        turned, bent = self.R.rand() < self.affine_prob, self.R.rand() < self.elastic_prob
        if not (turned or bent):
            return {**data, "image": crop_centre(image, self.window), "label": crop_centre(label, self.window)}
        positions = compute_offsets(self.window)
        if bent:
            positions = positions + torch.from_numpy(
                compute_displacement(draw_coefficients(self.R, self.window), self.window)
            )
        if turned:
            positions = torch.einsum("ij,jhwd->ihwd", self._draw_affine(), positions)
        brain = (image != 0).any(dim=0, keepdim=True)
        nearest = sample_at(torch.cat([label.float(), brain.float()]), positions, mode="nearest")
        warped = sample_at(image.float(), positions, mode="bilinear") * nearest[-1:]
        return {**data, "image": warped.to(image.dtype), "label": nearest[:-1].to(label.dtype)}

    def _draw_affine(self) -> Tensor:
        angles = self.R.uniform(-self.rotation_rad, self.rotation_rad, 3)
        zoom = self.R.uniform(1 - self.zoom, 1 + self.zoom, 3)
        return torch.from_numpy((build_rotation(*angles) * zoom).astype(np.float32))


def compute_offsets(window: Sequence[int]) -> Float[Tensor, "3 h w d"]:
    """Return the offset of each voxel from the window's centre, in voxels."""
    axes = [torch.arange(side, dtype=torch.float32) - (side - 1) / 2 for side in window]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def build_rotation(x: float, y: float, z: float) -> np.ndarray:
    """Return the (3, 3) matrix of successive rotations about the three axes, by angles in radians."""
    turns = []
    for axis, angle in enumerate((x, y, z)):
        first, second = [other_axis for other_axis in range(3) if other_axis != axis]
        turn = np.eye(3)
        turn[[first, second], [first, second]] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        turns.append(turn)
    return np.asarray(turns[0] @ turns[1] @ turns[2])


def count_intervals(window: Sequence[int]) -> tuple[int, ...]:
    """Return the number of control-point intervals per side."""
    return tuple(max(1, round(INTERVALS * side / min(window))) for side in window)


def draw_coefficients(rng: np.random.RandomState, window: Sequence[int]) -> np.ndarray:
    """Draw B-spline coefficients (3, a, b, c) of a displacement in voxels, small enough that it cannot fold."""
    counts = count_intervals(window)
    largest = STRENGTH * min((side - 1) / count for side, count in zip(window, counts, strict=True))
    return rng.uniform(-largest, largest, (3, *(count + 3 for count in counts))).astype(np.float32)


def compute_displacement(coefficients: np.ndarray, window: Sequence[int]) -> np.ndarray:
    """Return the displacement (3, h, w, d) in voxels defined by B-spline coefficients."""
    field = coefficients
    for axis, side in enumerate(window, start=1):
        weights = compute_spline_weights(side, field.shape[axis] - 3)
        field = np.moveaxis(np.tensordot(weights, field, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(field)


def compute_spline_weights(side: int, count: int) -> np.ndarray:
    """Return (side, count + 3) weights of cubic B-splines with `count` intervals per side. Rows sum to 1."""
    position = np.arange(side)[:, None] * (count / max(side - 1, 1))
    distance = np.abs(position - (np.arange(count + 3)[None] - 1))
    near, far = 2 / 3 - distance**2 + distance**3 / 2, np.clip(2 - distance, 0, None) ** 3 / 6
    return np.asarray(np.where(distance < 1, near, far), np.float32)


def sample_at(
    volume: Float[Tensor, "c a b e"], positions: Float[Tensor, "3 h w d"], *, mode: str
) -> Float[Tensor, "c h w d"]:
    """Sample a volume at offsets from its centre in voxels. Zero outside the volume.

    Args:
        volume: (c, a, b, e) volume.
        positions: (3, h, w, d) offsets from its centre in voxels.
        mode: interpolation of `torch.nn.functional.grid_sample`, `bilinear` or `nearest`.
    """
    half = torch.tensor([max(side - 1, 1) / 2 for side in volume.shape[1:]])
    grid = (positions / half[:, None, None, None]).flip(0).permute(1, 2, 3, 0)[None]
    return F.grid_sample(volume[None], grid, mode=mode, padding_mode="zeros", align_corners=True)[0]


def crop_centre(volume: Shaped[Tensor, "c a b e"], window: Sequence[int]) -> Shaped[Tensor, "c h w d"]:
    """Crop the centre of a volume. Zero-pads volumes smaller than the window.

    Args:
        volume: (c, a, b, e) volume.
        window: sides of the window in voxels.
    """
    starts = [max(0, (have - want) // 2) for have, want in zip(volume.shape[1:], window, strict=True)]
    i, j, k = (slice(start, start + want) for start, want in zip(starts, window, strict=True))
    cut = volume[:, i, j, k]
    short = [want - have for have, want in zip(cut.shape[1:], window, strict=True)]
    pads = [pad for missing in reversed(short) for pad in (missing // 2, missing - missing // 2)]
    return F.pad(cut, pads) if any(short) else cut.clone()
