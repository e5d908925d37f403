"""Positions and weights of windows match MONAI."""

import pytest
import torch
from monai.data.utils import compute_importance_map, dense_patch_slices

from brats_mm.inference.windows import clip_window, make_gaussian, plan_windows


@pytest.mark.parametrize("size", [(64, 64, 64), (100, 65, 200), (40, 300, 130)])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_window_positions_match_monai(size, overlap):
    result = plan_windows(torch.ones(size, dtype=torch.bool), (64, 64, 64), overlap)
    padded = tuple(max(side, window) for side, window in zip(size, result.window, strict=True))
    step = tuple(int(side * (1 - overlap)) for side in result.window)
    assert list(result.positions) == [tuple(position) for position in dense_patch_slices(padded, result.window, step)]


def test_window_weights_match_monai():
    expected = compute_importance_map((64, 96, 32), mode="gaussian", sigma_scale=0.125)
    result = make_gaussian((64, 96, 32))
    torch.testing.assert_close(result / result.max(), (expected / expected.max()).clamp(min=1e-3), rtol=1e-3, atol=2e-3)


def test_windows_cover_all_of_the_brain():
    brain = torch.zeros(100, 130, 64, dtype=torch.bool)
    brain[20:90, 10:120] = True
    assert sum(plan_windows(brain, (64, 64, 64), 0.5).compute_shares(brain)) == pytest.approx(1, abs=1e-5)


def test_window_is_clipped_to_box():
    assert clip_window((128, 128, 128), (70, 90, 140)) == (80, 96, 128)
    assert clip_window((128, 128, 128), (70, 90, 128), 32) == (96, 96, 128)
    assert clip_window((128, 128, 128), (10, 10, 10)) == (64, 16, 16)
    assert clip_window((128, 128, 128), (10, 10, 10), 32) == (64, 32, 32)
