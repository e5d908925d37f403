"""A box of a volume is resampled like the whole volume."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brats_mm.domain.resample import Part, crop_to_signal, find_bounding_box, resample, resample_part, resample_signal


@given(
    st.tuples(*[st.integers(3, 12)] * 3),
    st.tuples(*[st.integers(2, 20)] * 3),
    st.sampled_from("CF"),
    st.integers(0, 999),
)
def test_part_is_resampled_like_whole_volume(old, new, order, seed):
    """The result does not depend on shapes and memory order."""
    rng = np.random.default_rng(seed)
    volume = np.zeros(old, np.float32, order=order)
    start = tuple(int(rng.integers(0, size - 1)) for size in old)
    box = tuple(slice(begin, int(rng.integers(begin + 1, size + 1))) for begin, size in zip(start, old, strict=True))
    volume[box] = rng.normal(size=volume[box].shape) + 5
    part = resample_part(Part(volume[box], start), old, new)
    whole = np.zeros(new, np.float32)
    whole[part.box] = part.data
    np.testing.assert_allclose(whole, resample(volume, new), rtol=1e-5, atol=1e-5)


def test_box_of_mask_is_tight():
    mask = np.zeros((5, 6, 7), bool)
    mask[1:3, 2, 4:7] = True
    assert find_bounding_box(mask) == (slice(1, 3), slice(2, 3), slice(4, 7))


def test_empty_volume_has_part_of_one_voxel_and_stays_empty():
    empty = np.zeros((4, 4, 4), np.float32)
    assert crop_to_signal(empty).data.shape == (1, 1, 1)
    assert not resample_signal(empty, (2, 2, 2)).any()


@pytest.mark.parametrize("flip", [(0,), (1, 2), (0, 1, 2)])
def test_half_covered_voxels_are_kept_on_both_sides(flip):
    """Resampling 155 to 78 gives exact halves, which rounding could move to either side."""
    volume = (np.random.default_rng(0).random((31, 31, 31)) > 0.5).astype(np.float32)
    uninterrupted = resample_signal(volume, (16, 16, 16))
    turned = np.flip(resample_signal(np.ascontiguousarray(np.flip(volume, flip)), (16, 16, 16)), flip)
    assert np.array_equal(uninterrupted != 0, turned != 0)
