"""Brain extraction with the shipped weights on a synthetic head with skull."""

import numpy as np
import pytest

from benchmarks.skull import Margin, Tissue, add_skull
from brats_mm.data.phantom.head import make_phantom
from brats_mm.domain.modality import Modality
from brats_mm.domain.volume import Grid
from brats_mm.preprocessing.brain import _find_level, extract_brain, find_brain_warnings
from brats_mm.preprocessing.brain_network import WEIGHTS, BrainNetwork
from brats_mm.preprocessing.head import compute_head_mask

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def head():
    """Four sequences of 3 mm with axes pointing left, back and up."""
    images = make_phantom(8, (56, 72, 56), spacing_mm=(3.0, 3.0, 3.0)).images
    return add_skull(images, seed=6, margin=Margin(12.0, 40.0))


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_finds_brain_in_all_sequences_and_in_one(head):
    images = {modality: volume.data for modality, volume in head.images.items()}
    assert dice(extract_brain(images, head.grid).mask, head.brain) > 0.9
    for modality, image in images.items():
        assert dice(extract_brain({modality: image}, head.grid).mask, head.brain) > 0.85


def test_orientation_does_not_matter(head):
    images = {modality: volume.data for modality, volume in head.images.items()}
    uninterrupted = extract_brain(images, head.grid).mask
    turned = {modality: np.ascontiguousarray(image.transpose(2, 0, 1)[::-1]) for modality, image in images.items()}
    affine = head.grid.affine[:, [2, 0, 1, 3]] @ np.diag([-1.0, 1, 1, 1])
    affine[:3, 3] -= affine[:3, 0] * (head.grid.shape[2] - 1)
    x, y, z = head.grid.shape
    mask = extract_brain(turned, Grid((z, x, y), affine)).mask
    np.testing.assert_array_equal(mask[::-1].transpose(1, 2, 0), uninterrupted)


def test_finds_head_outline(head):
    for volume in head.images.values():
        assert dice(compute_head_mask(volume.data), head.tissues != Tissue.AIR) > 0.9


def test_warns_of_impossible_brain_size_or_low_agreement():
    grid = Grid((10, 10, 10), np.diag([10.0, 10.0, 10.0, 1.0]))
    mask = np.zeros(grid.shape, bool)
    mask[:, :, :5] = True
    assert "it has 500 mL" in find_brain_warnings(mask, grid, 0.95)[0]
    mask[:] = True
    assert find_brain_warnings(mask, grid, 0.95) == ()
    assert "agree only with a Dice of 0.50" in find_brain_warnings(mask, grid, 0.5)[0]


@pytest.mark.parametrize("radius", [10, 14, 18])
def test_brain_border_follows_image_edge_not_low_logits(radius):
    """Logits fall by half per voxel from a radius of 10, and the border of the bright ball is farther out."""
    apart = np.linalg.norm(np.indices((48, 48, 48)) - 23.5, axis=0).astype(np.float32)
    image = np.where(apart < radius, 1.0, 0.15).astype(np.float32)
    level = _find_level((10 - apart) / 2, {Modality.T1: image, Modality.FLAIR: image + 0.05})
    assert level == pytest.approx((10 - radius) / 2, abs=0.5)


def test_threshold_without_image_edge_is_zero():
    assert _find_level(np.full((8, 8, 8), -1.0, np.float32), {Modality.T1: np.ones((8, 8, 8), np.float32)}) == 0.0


def test_weights_in_package_are_small():
    assert WEIGHTS.stat().st_size < 1_000_000
    assert sum(parameter.numel() for parameter in BrainNetwork().parameters()) < 150_000
