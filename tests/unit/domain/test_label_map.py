"""Conversion between labels and regions."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from brats_mm.domain.label_map import extract_regions, merge_regions
from brats_mm.domain.regions import Compartment, LabelConvention, Region


def test_inner_regions_overwrite_outer_ones():
    """Voxels outside, in oedema, in core, and in enhancing tumour."""
    wt, tc, et = np.array([[0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]], bool)[:, :, None, None]
    assert merge_regions(wt, tc, et, LabelConvention.BRATS2023).ravel().tolist() == [0, 2, 1, 3]
    assert merge_regions(wt, tc, et, LabelConvention.BRATS2021).ravel().tolist() == [0, 2, 1, 4]


@given(arrays(np.uint8, (3, 3, 3), elements=st.integers(0, 3)), st.sampled_from(LabelConvention))
def test_labels_round_trip_through_regions(indices, convention):
    values = np.array([0, *(convention.value_of(part) for part in Compartment)], np.uint8)
    labels = values[indices]
    regions = extract_regions(labels, convention)
    again = merge_regions(regions[Region.WT], regions[Region.TC], regions[Region.ET], convention)
    assert np.array_equal(again, labels)
    assert not (regions[Region.ET] & ~regions[Region.TC]).any()
    assert not (regions[Region.TC] & ~regions[Region.WT]).any()
