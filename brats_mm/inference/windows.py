"""Positions and Gaussian importance of sliding windows, as in MONAI.

Implemented here to avoid the slow import of MONAI before the first result.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

STRIDE = 32
"""The network halves its input five times and rounds odd sides up."""

MULTIPLE = 16
"""Sides of clipped windows are multiples of this, as in training. With 32, windows take 50 % longer.

They would also contain a third more background, which changes instance normalisation.
"""

SIGMA = 0.125
"""Standard deviation of the Gaussian that blends windows, as a fraction of the window's side (as in nnU-Net and MONAI).
"""

MIN_SHARE = 1e-3
"""Lower bound of the Gaussian, which avoids a division by zero at corners that only one window covers."""

BLOCK = 8
"""Side in voxels of the blocks by which `cover` places windows."""

Position = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class WindowGrid:
    """The windows over a box that contain brain.

    Attributes:
        window: window sides in voxels.
        padding: padding of the box to at least one window, for `torch.nn.functional.pad`.
        padded: sides of the padded box in voxels.
        positions: position of each window in the padded box.
    """

    window: tuple[int, int, int]
    padding: tuple[int, ...]
    padded: tuple[int, int, int]
    positions: tuple[Position, ...]

    @cached_property
    def importance(self) -> Float[Tensor, "h w d"]:
        """Importance of each voxel of a window: 1 everywhere for a single window."""
        return make_gaussian(self.window) if len(self.positions) > 1 else torch.ones(self.window)

    @cached_property
    def coverage(self) -> Float[Tensor, "x y z"]:
        """Sum of the importance of all windows over the padded box."""
        coverage = torch.zeros(self.padded)
        for position in self.positions:
            coverage[position] += self.importance
        return coverage

    def compute_shares(self, voxels: Bool[Tensor, "x y z"]) -> tuple[float, ...]:
        """Return the fraction of the given voxels of the box for each window. They sum to 1."""
        padded = F.pad(voxels, self.padding)
        total = int(padded.sum())
        weighed = ((self.importance / self.coverage[position])[padded[position]] for position in self.positions)
        return tuple(float(one.sum()) / total for one in weighed)


def plan_windows(
    brain: Bool[Tensor, "x y z"],
    patch: tuple[int, int, int],
    overlap: float,
    multiple: int = MULTIPLE,
    stride: int = STRIDE,
) -> WindowGrid:
    """Place windows over a box and skip those without brain.

    A window is clipped to the box, rounded up to `multiple`, so a small box is one window with minimal zero padding.
    Padding matters because instance normalisation includes it in its mean.

    Args:
        brain: brain mask with at least one voxel.
        patch: window sides in voxels.
        overlap: overlap of neighbouring windows as a fraction, 0 to below 1.
        multiple: sides of clipped windows are multiples of this.
        stride: total stride of the network.
    """
    window = clip_window(patch, brain.shape, multiple, stride)
    rooms = [max(0, side - size) for side, size in zip(window, brain.shape, strict=True)]
    padding = tuple(amount for room in reversed(rooms) for amount in (0, room))
    padded = F.pad(brain, padding)
    starts = [_compute_starts(size, side, overlap) for size, side in zip(padded.shape, window, strict=True)]
    positions = [
        (slice(x, x + window[0]), slice(y, y + window[1]), slice(z, z + window[2]))
        for x, y, z in itertools.product(*starts)
    ]
    return _make_grid(window, padding, [position for position in positions if bool(padded[position].any())], padded)


def cover(
    voxels: Bool[Tensor, "x y z"], patch: tuple[int, int, int], margin: int, multiple: int = MULTIPLE
) -> WindowGrid:
    """Place few windows so that each given voxel lies in one of them, at least `margin` from its faces inside the box.

    Chooses the window that holds the most remaining voxels, centres it on them, and repeats. A regular grid over the
    box around the voxels takes up to twice as many windows.

    Args:
        voxels: mask with at least one voxel.
        patch: window sides in voxels, clipped to the box as in `plan_windows`.
        margin: overlap of windows on each side in voxels, limited to the box.
        multiple: sides of clipped windows are multiples of this.
    """
    window = clip_window(patch, voxels.shape, multiple)
    rooms = [max(0, side - size) for side, size in zip(window, voxels.shape, strict=True)]
    padding = tuple(amount for room in reversed(rooms) for amount in (0, room))
    padded = F.pad(voxels, padding)
    uncovered = F.max_pool3d(padded[None, None].float(), BLOCK, BLOCK, ceil_mode=True)[0, 0]
    core = [
        min(blocks, max(1, (side - 2 * margin) // BLOCK)) if side < size else blocks
        for side, size, blocks in zip(window, padded.shape, uncovered.shape, strict=True)
    ]
    positions: list[Position] = []
    while bool(uncovered.any()):
        best = int(F.avg_pool3d(uncovered[None, None], core, 1).argmax())
        counts = [blocks - side + 1 for blocks, side in zip(uncovered.shape, core, strict=True)]
        corner = (best // (counts[1] * counts[2]), best // counts[2] % counts[1], best % counts[2])
        block = tuple(slice(start, start + side) for start, side in zip(corner, core, strict=True))
        remaining = torch.nonzero(uncovered[block])
        middle = (remaining.amin(dim=0) + remaining.amax(dim=0) + 1) * BLOCK // 2
        starts = [
            min(max(0, first * BLOCK + int(centre) - side // 2), size - side)
            for first, centre, side, size in zip(corner, middle, window, padded.shape, strict=True)
        ]
        positions.append(
            (
                slice(starts[0], starts[0] + window[0]),
                slice(starts[1], starts[1] + window[1]),
                slice(starts[2], starts[2] + window[2]),
            )
        )
        uncovered[block] = 0
        uncovered[_find_blocks_inside(positions[-1], padded.shape, margin)] = 0
    return _make_grid(window, padding, positions, padded)


def _find_blocks_inside(position: Position, shape: Sequence[int], margin: int) -> tuple[slice, ...]:
    """Return the blocks of a window that lie at least `margin` from its faces inside the box."""
    inside = []
    for side, size in zip(position, shape, strict=True):
        first = -(-(side.start + margin) // BLOCK) if side.start > 0 else 0
        last = (side.stop - margin) // BLOCK if side.stop < size else -(-size // BLOCK)
        inside.append(slice(first, max(first, last)))
    return tuple(inside)


def _make_grid(
    window: tuple[int, int, int], padding: tuple[int, ...], positions: Sequence[Position], padded: Tensor
) -> WindowGrid:
    x, y, z = padded.shape
    return WindowGrid(window, padding, (x, y, z), tuple(positions))


def clip_window(
    window: tuple[int, int, int], box: Sequence[int], multiple: int = MULTIPLE, stride: int = STRIDE
) -> tuple[int, int, int]:
    """Clip a window to the box, rounded up to `multiple`. Its coarsest feature map stays larger than one voxel.

    Args:
        window: sides of the window in voxels.
        box: sides of the box in voxels.
        multiple: clipped sides are rounded up to a multiple of this.
        stride: total stride of the network.
    """
    fitted = [min(side, -(-size // multiple) * multiple) for side, size in zip(window, box, strict=True)]
    if all(side <= stride for side in fitted):
        fitted[0] = 2 * stride
    return fitted[0], fitted[1], fitted[2]


def make_gaussian(window: tuple[int, int, int]) -> Float[Tensor, "h w d"]:
    """Return the importance of each voxel of a window: 1 at the centre.

    Args:
        window: sides of the window in voxels.

    Returns:
        float32 tensor of the shape of `window`, above 0 and at most 1.
    """
    profiles = []
    for side in window:
        distance = torch.arange(side) - (side - 1) / 2
        profiles.append(torch.exp(-0.5 * (distance / (SIGMA * side)) ** 2))
    product = profiles[0][:, None, None] * profiles[1][:, None] * profiles[2]
    return (product / product.max()).clamp(min=MIN_SHARE)


def _compute_starts(size: int, side: int, overlap: float) -> list[int]:
    """Return regular starts, with the last window ending at the end of the box."""
    step = max(1, int(side * (1 - overlap)))
    count = 1 + math.ceil((size - side) / step)
    return [min(position * step, size - side) for position in range(count)]
