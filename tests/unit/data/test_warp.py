"""Windows are rotated, zoomed and deformed without folding, and keep masks and empty channels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from brats_mm.data.warp import (
    STRENGTH,
    RandWarpd,
    build_rotation,
    compute_displacement,
    compute_offsets,
    compute_spline_weights,
    count_intervals,
    crop_centre,
    draw_coefficients,
    sample_at,
)

WINDOW = (24, 32, 24)


def _item() -> dict[str, torch.Tensor]:
    image = torch.zeros(4, 32, 40, 32)
    image[:, 4:28, 4:36, 4:28] = 1 + torch.rand(4, 24, 32, 24, generator=torch.Generator().manual_seed(0))
    image[1] = 0
    label = torch.zeros(3, 32, 40, 32, dtype=torch.uint8)
    label[:, 12:20, 14:22, 12:20] = 1
    return {"image": image, "label": label}


def _jacobian(field: np.ndarray) -> np.ndarray:
    gradient = np.stack([np.stack(np.gradient(field[axis]), -1) for axis in range(3)], -2)
    return np.asarray(np.linalg.det(gradient + np.eye(3)))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_deformation_never_folds(seed: int) -> None:
    """Covers coefficients at their bounds, with neighbours of opposite sign."""
    signs = np.sign(draw_coefficients(np.random.RandomState(seed), WINDOW))
    largest = STRENGTH * min((side - 1) / count for side, count in zip(WINDOW, count_intervals(WINDOW), strict=True))
    field = compute_displacement((signs * largest).astype(np.float32), WINDOW)

    assert _jacobian(field).min() > 0
    assert np.abs(field).max() <= largest + 1e-5


def test_equal_coefficients_shift_uniformly() -> None:
    assert np.allclose(compute_spline_weights(9, 3).sum(axis=1), 1)
    assert np.allclose(compute_displacement(np.full((3, 6, 7, 6), 1.5, np.float32), WINDOW), 1.5, atol=1e-5)


def test_quarter_turn_maps_first_axis_to_second() -> None:
    assert np.allclose(build_rotation(0.0, 0.0, np.pi / 2) @ [1, 0, 0], [0, 1, 0])


def test_sampling_at_voxel_centres_returns_volume() -> None:
    volume = torch.rand(2, 5, 6, 7, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(sample_at(volume, compute_offsets((5, 6, 7)), mode="bilinear"), volume, atol=1e-5)
    assert torch.equal(sample_at(volume, compute_offsets((5, 6, 7)) + 20, mode="bilinear"), torch.zeros(2, 5, 6, 7))


def test_identity_crops_or_pads_around_centre() -> None:
    item = _item()
    result = RandWarpd(WINDOW, affine_prob=0.0, elastic_prob=0.0)(item)

    assert torch.equal(result["image"], item["image"][:, 4:28, 4:36, 4:28])
    assert torch.equal(crop_centre(torch.ones(1, 2, 2, 2), (4, 2, 3))[0].sum(dim=(1, 2)), torch.tensor([0.0, 4, 4, 0]))


@pytest.mark.parametrize(("affine", "elastic"), [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_warped_windows_keep_masks_and_empty_channels(affine: float, elastic: float) -> None:
    warp = RandWarpd(WINDOW, affine_prob=affine, elastic_prob=elastic).set_random_state(seed=3)
    result = warp(_item())

    assert result["image"].shape == (4, *WINDOW)
    assert result["label"].dtype == torch.uint8
    assert set(torch.unique(result["label"]).tolist()) == {0, 1}
    assert float(result["image"][1].abs().sum()) == 0
    assert not torch.allclose(result["image"], _item()["image"][:, 4:28, 4:36, 4:28])


def test_image_and_masks_move_together() -> None:
    item = _item()
    item["image"] = 1.0 + 9 * item["label"][:1].float().expand(4, -1, -1, -1)
    result = RandWarpd(WINDOW, affine_prob=1.0, elastic_prob=1.0).set_random_state(seed=5)(item)
    inside = result["image"][0] > 5.5

    agree = (inside & (result["label"][0] > 0)).sum() / (inside | (result["label"][0] > 0)).sum()
    assert float(agree) > 0.85


def test_brain_edge_stays_sharp() -> None:
    """Values are those of brain or exactly zero."""
    item = _item()
    item["image"] = (item["image"][:1] != 0).float() * 2
    result = RandWarpd(WINDOW, affine_prob=1.0, elastic_prob=1.0).set_random_state(seed=5)(item)["image"]

    assert float(result[result != 0].min()) >= 0.2  # a corner contains at least one eighth of brain
