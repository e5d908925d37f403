"""Training crops: centres, augmentation and subsets."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from brats_mm.training.timed.crops import (
    INTENSITY_CHANGES,
    CropSettings,
    cut_plain_crop,
    draw_centre,
    draw_crop,
    scale_slices,
)
from brats_mm.training.timed.loop import LoopSettings, choose_side, compute_learning_rate
from brats_mm.training.timed.packing import PackedCase

PLAIN = CropSettings(
    side=16,
    affine_prob=0.0,
    contrast_prob=0.0,
    gamma_prob=0.0,
    noise_prob=0.0,
    blur_prob=0.0,
    low_resolution_prob=0.0,
    bias_prob=0.0,
    slice_scaling_prob=0.0,
)


def case(shape=(24, 20, 22)):
    rng = np.random.default_rng(0)
    image = rng.integers(1, 256, (4, *shape)).astype(np.uint8)
    image[:, :3] = 0
    image[2] = 0
    labels = np.zeros(shape, np.uint8)
    labels[8:14, 8:14, 8:14] = 1
    labels[9:12, 9:12, 9:12] = 2
    labels[10, 10, 10] = 3
    inside = (image != 0).any(axis=0)
    kinds = (inside & (labels == 0), labels == 1, labels == 2, labels == 3)
    centres = tuple(np.flatnonzero(kind).astype(np.int32) for kind in kinds)
    available = np.array([True, True, False, True])
    return PackedCase(
        "case", image, np.full(4, 0.01, np.float32), np.full(4, -1, np.float32), available, labels, centres
    )


def test_crop_centred_on_enhancing_tumour_contains_it():
    shares = (0.0, 0.0, 0.0, 1.0)
    rng = np.random.default_rng(1)
    assert draw_centre(case(), shares, rng) == (10, 10, 10)
    crop = draw_crop(case(), replace(PLAIN, kind_shares=shares), rng)
    assert crop.image.shape == (4, 16, 16, 16)
    assert [int(mask.sum()) for mask in crop.target] == [216, 27, 1]


def test_crop_larger_than_case_is_padded_with_background():
    levels, labels = cut_plain_crop(case((12, 20, 22)), (6, 10, 10), 16)
    assert levels.shape == (4, 16, 16, 16)
    assert not levels[:, :2].any()
    assert int((labels > 0).sum()) > 0


@pytest.mark.parametrize("seed", range(6))
def test_augmentation_keeps_background_and_missing_sequences_zero(seed):
    every = dict.fromkeys(("contrast_prob", "gamma_prob", "noise_prob", "blur_prob", "bias_prob"), 1.0)
    crop = draw_crop(case(), replace(PLAIN, **every, affine_prob=1.0), np.random.default_rng(seed))
    assert bool(torch.isfinite(crop.image).all())
    assert not crop.image[2].any()
    assert bool((crop.target[0] >= crop.target[1]).all())
    assert bool((crop.target[1] >= crop.target[2]).all())


def test_warp_moves_image_and_labels_together():
    whole = case((32, 32, 32))
    whole = replace(whole, image=np.repeat((whole.labels * 60 + 10)[None], 4, axis=0).astype(np.uint8))
    settings = replace(PLAIN, affine_prob=1.0, kind_shares=(0.0, 1.0, 0.0, 0.0))
    crop = draw_crop(whole, settings, np.random.default_rng(3))
    inside, outside = crop.image[0][crop.target[0] > 0], crop.image[0][crop.target[0] == 0]
    assert float(inside.mean()) > float(outside.mean()) + 0.2


def test_slices_are_scaled_independently():
    scaled = scale_slices(torch.ones(5, 6, 7), np.random.default_rng(0))
    spread = [float(scaled.amax(dim=axes).std()) for axes in ((1, 2), (0, 2), (0, 1))]
    assert sorted(value > 0.01 for value in spread) == [False, False, True]


def test_learning_rate_rises_then_falls_to_zero_and_crops_grow():
    settings = LoopSettings(1.0)
    assert compute_learning_rate(0.005, settings) == pytest.approx(0.001)
    assert compute_learning_rate(0.5, settings) == pytest.approx(0.001)
    assert compute_learning_rate(1.0, settings) == pytest.approx(0.0, abs=1e-12)
    assert [choose_side(share, ((0.0, 80), (0.5, 96))) for share in (0.0, 0.49, 0.5, 1.0)] == [80, 80, 96, 96]


def test_intensity_changes_are_scaled_and_shape_changes_are_not():
    settings = CropSettings(affine_prob=0.4, contrast_prob=0.5, noise_prob=0.2).scale_intensity_changes(0.5)
    assert (settings.affine_prob, settings.contrast_prob, settings.noise_prob) == (0.4, 0.25, 0.1)


def test_every_other_probability_is_an_intensity_change():
    others = {name for name in vars(CropSettings()) if name.endswith("_prob")} - set(INTENSITY_CHANGES)
    assert others == {"affine_prob"}
