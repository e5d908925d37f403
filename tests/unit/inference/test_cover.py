"""Few windows cover the voxels of interest."""

import pytest
import torch

from brats_mm.inference.windows import BLOCK, cover, plan_windows

WINDOW = (96, 96, 96)


def mask(shape, *boxes):
    voxels = torch.zeros(shape, dtype=torch.bool)
    for box in boxes:
        voxels[box] = True
    return voxels


def covered(grid, shape, margin):
    """Return the voxels in a window, `margin` or more from its faces inside the box."""
    inside = torch.zeros(shape, dtype=torch.bool)
    for position in grid.positions:
        inside[
            tuple(
                slice(side.start + (margin if side.start else 0), side.stop - (margin if side.stop < size else 0))
                for side, size in zip(position, shape, strict=True)
            )
        ] = True
    return inside


def test_one_window_is_centred_on_small_part():
    grid = cover(mask((200, 200, 200), (slice(96, 104),) * 3), WINDOW, 16)
    assert grid.positions == ((slice(52, 148),) * 3,)
    assert bool((grid.importance == 1).all())


def test_two_distant_parts_take_two_windows():
    voxels = mask((160, 160, 160), (slice(0, 16),) * 3, (slice(144, 160),) * 3)
    assert len(cover(voxels, WINDOW, 16).positions) == 2
    full = torch.ones_like(voxels)
    assert len(plan_windows(full, WINDOW, 1 / 3).positions) == len(cover(full, WINDOW, 16).positions) == 8


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("margin", [0, 16])
def test_every_voxel_is_inside_a_window_by_the_margin(seed, margin):
    generator = torch.Generator().manual_seed(seed)
    shape = tuple(int(side) for side in torch.randint(60, 190, (3,), generator=generator))
    voxels = torch.rand(shape, generator=generator) > 0.9999
    voxels[20, 30, 40] = True
    grid = cover(voxels, WINDOW, margin)
    padded = tuple(max(side, window) for side, window in zip(shape, grid.window, strict=True))
    inside = covered(grid, padded, margin)[: shape[0], : shape[1], : shape[2]]
    assert bool(inside[voxels].all())
    assert all(
        position[axis].start >= 0 and position[axis].stop <= padded[axis]
        for position in grid.positions
        for axis in range(3)
    )
    assert sum(grid.compute_shares(voxels)) == pytest.approx(1, abs=1e-4)


def test_small_box_is_one_window_padded_to_multiple():
    grid = cover(mask((70, 80, 90), (slice(0, 70), slice(0, 80), slice(0, 90))), WINDOW, 16)
    assert grid.window == (80, 80, 96)
    assert len(grid.positions) == 1
    assert grid.padding == (0, 6, 0, 0, 0, 10)
    assert BLOCK == 8
