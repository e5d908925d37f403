"""Entropies in nats against hand-checked values."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from brats_mm.domain.entropy import MAX_BINARY_NATS, MAX_COMPARTMENT_NATS, binary_entropy, compartment_entropy


def test_entropy_of_one_half_and_of_certainty():
    """H(1/2) = ln 2, H(1/4) = ln 4 - 3/4 ln 3, H(0) = H(1) = 0."""
    p = np.array([[[0.5, 0.25, 0.0, 1.0]]], np.float32)
    expected = [math.log(2), math.log(4) - 0.75 * math.log(3), 0, 0]
    np.testing.assert_allclose(binary_entropy(p).ravel(), expected, atol=1e-6)


def test_four_equal_compartments_have_largest_entropy():
    """WT = 3/4, TC = 1/2 and ET = 1/4 give four compartments of 1/4."""
    wt, tc, et = (np.full((1, 1, 1), value, np.float32) for value in (0.75, 0.5, 0.25))
    np.testing.assert_allclose(compartment_entropy(wt, tc, et), MAX_COMPARTMENT_NATS, rtol=1e-6)


def test_single_uncertain_region_has_entropy_ln_2():
    """Only whole tumour is uncertain, so the voxel is oedema or background."""
    wt, zero = np.full((1, 1, 1), 0.5, np.float32), np.zeros((1, 1, 1), np.float32)
    np.testing.assert_allclose(compartment_entropy(wt, zero, zero), MAX_BINARY_NATS, rtol=1e-6)


@given(st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3))
def test_entropy_stays_in_range(values):
    et, tc, wt = (np.full((1, 1, 1), value, np.float32) for value in sorted(values))
    assert 0 <= binary_entropy(wt)[0, 0, 0] <= MAX_BINARY_NATS + 1e-6
    assert -1e-6 <= compartment_entropy(wt, tc, et)[0, 0, 0] <= MAX_COMPARTMENT_NATS + 1e-6
