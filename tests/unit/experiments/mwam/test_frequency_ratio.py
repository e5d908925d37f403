"""MWAM's frequency ratio against hand-checked values."""

import math

import pytest
import torch

from brats_mm.errors import OptionError
from brats_mm.experiments.mwam.frequency_ratio import (
    RatioSettings,
    build_dct_matrix,
    compute_frequency_ratio,
    compute_patch_ratios,
)

PAIRS = RatioSettings(patch=2, corner=1, sigma=0.0)
"""Patches of 2x2: one low and one high coefficient each."""


def picture(*rows):
    return torch.tensor([[rows]], dtype=torch.float32)


def test_transform_of_two_is_sum_and_difference():
    """Rows (1, 1) / sqrt 2 and (1, -1) / sqrt 2."""
    root = math.sqrt(0.5)
    torch.testing.assert_close(build_dct_matrix(2), torch.tensor([[root, root], [root, -root]]))


@pytest.mark.parametrize("side", [2, 4, 8])
def test_transform_is_orthonormal(side):
    torch.testing.assert_close(build_dct_matrix(side) @ build_dct_matrix(side).T, torch.eye(side))


def test_frequency_one_of_four_matches_formula():
    """sqrt(1/2) cos(pi (2 i + 1) / 8)."""
    expected = [math.sqrt(0.5) * math.cos(math.pi * (2 * i + 1) / 8) for i in range(4)]
    torch.testing.assert_close(build_dct_matrix(4)[1], torch.tensor(expected))


def test_two_by_two_patch_by_hand():
    """Low (5 + 1 + 2 + 4) / 2 = 6, high (5 - 1 - 2 + 4) / 2 = 3. The ratio is 2."""
    torch.testing.assert_close(compute_patch_ratios(picture([5, 1], [2, 4]), PAIRS), torch.tensor([[[2.0]]]))


def test_sigma_is_added_to_high_coefficient():
    """6 / (3 - 1) = 3."""
    settings = RatioSettings(patch=2, corner=1, sigma=-1.0)
    torch.testing.assert_close(compute_patch_ratios(picture([5, 1], [2, 4]), settings), torch.tensor([[[3.0]]]))


def test_relative_sigma_scales_with_root_mean_square_of_patch():
    """The mean square is (25 + 1 + 4 + 4 x 4) / 4 = 11.5, so the ratio is 6 / (3 + sqrt 11.5)."""
    settings = RatioSettings(patch=2, corner=1, relative_sigma=1.0)
    expected = 6 / (3 + math.sqrt(11.5))
    torch.testing.assert_close(compute_patch_ratios(picture([5, 1], [2, 4]), settings), torch.tensor([[[expected]]]))


def test_relative_sigma_bounds_ratio():
    flat = torch.ones(1, 1, 8, 8) + 1e-3 * torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert float(compute_patch_ratios(flat)) > 1e3
    assert float(compute_patch_ratios(flat, RatioSettings(relative_sigma=0.01))) < 4 * 8 / 0.01


def test_ratio_pairs_lowest_with_highest_coefficients():
    """A patch of 4 made from its coefficients: low (8, 4; 2, 6), high block (1, 2; 4, 8) ends in the highest, 8.

    8 / 8 + 4 / 4 + 2 / 2 + 6 / 1 = 9.
    """
    coefficients = torch.zeros(4, 4)
    coefficients[:2, :2] = torch.tensor([[8.0, 4.0], [2.0, 6.0]])
    coefficients[2:, 2:] = torch.tensor([[1.0, 2.0], [4.0, 8.0]])
    matrix = build_dct_matrix(4)
    patch = (matrix.T @ coefficients @ matrix)[None, None]
    settings = RatioSettings(patch=4, corner=2, sigma=0.0)
    torch.testing.assert_close(compute_patch_ratios(patch, settings), torch.tensor([[[9.0]]]), rtol=1e-4, atol=0.0)


def test_volume_is_processed_by_slices_of_last_axis():
    """The second of two slices is three times the first and has the same ratio."""
    slices = torch.stack([picture([5, 1], [2, 4])[0, 0], 3 * picture([5, 1], [2, 4])[0, 0]], dim=-1)
    torch.testing.assert_close(compute_patch_ratios(slices[None, None], PAIRS), torch.tensor([[[2.0, 2.0]]]))


def test_volume_may_be_processed_in_cubes():
    """The sum of 2x2x2 numbers 1 to 8 is 36. The alternating sum 1 - 2 - 3 + 4 - 5 + 6 + 7 - 8 is 0, plus sigma."""
    cube = torch.arange(1.0, 9.0).reshape(1, 1, 2, 2, 2)
    settings = RatioSettings(patch=2, corner=1, volumetric=True, sigma=2.0)
    torch.testing.assert_close(compute_patch_ratios(cube, settings), torch.tensor([[[36 / math.sqrt(8) / 2.0]]]))


def test_patches_are_tiles_and_remainder_is_cropped():
    """5x4 pixels give 2x2 tiles of 2x2. The fifth row is dropped."""
    image = torch.arange(20.0).reshape(1, 1, 5, 4)
    image[0, 0, 0, 0] = 100.0
    ratios = compute_patch_ratios(image, RatioSettings(patch=2, corner=1, sigma=1.0))
    first = torch.tensor([[100.0, 1.0], [4.0, 5.0]])
    high = (first[0, 0] - first[0, 1] - first[1, 0] + first[1, 1]) / 2
    assert ratios.shape == (1, 1, 4)
    torch.testing.assert_close(ratios[0, 0, 0], first.sum() / 2 / (high + 1))
    torch.testing.assert_close(ratios[0, 0, 1], torch.tensor((2.0 + 3 + 6 + 7) / 2))


def test_only_available_modalities_and_complete_patches_count():
    """Two samples, two modalities. The first sample has one complete tile, and the second lacks the second modality."""
    tile = picture([5, 1], [2, 4])[0, 0]
    image = torch.stack([torch.cat([tile, 9 * tile], dim=1)] * 4).reshape(2, 2, 2, 4)
    image[:, 1] += torch.tensor([[1.0, 1, 1, 1], [1, 1, 1, 1]])  # low 8, high 3 in the first tile
    inside = torch.ones(2, 2, 4, dtype=torch.bool)
    inside[0, 0, 3] = False
    available = torch.tensor([[True, True], [True, False]])
    sums, patches = compute_frequency_ratio(image, available, inside=inside, settings=PAIRS)
    assert patches.tolist() == [3.0, 1.0]
    torch.testing.assert_close(sums, torch.tensor([6.0, 8 / 3]))


def test_smooth_images_have_higher_ratios_than_rough_ones():
    ramp = torch.linspace(0, 1, 16).expand(16, 16) + torch.linspace(0, 2, 16)[:, None]
    noise = torch.rand(16, 16, generator=torch.Generator().manual_seed(0))
    image = torch.stack([ramp + 0.1 * noise, noise])[None]
    smooth, rough = compute_patch_ratios(image, RatioSettings(relative_sigma=0.01)).mean(dim=(0, 2))
    assert smooth > 2 * rough


def test_rejects_overlapping_blocks():
    with pytest.raises(OptionError, match="blocks of 5 coefficients per side in patches of 8"):
        RatioSettings(corner=5)
