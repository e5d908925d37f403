"""Mixing weights against hand-checked values."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from brats_mm.domain.availability import SUBSETS, to_flags
from brats_mm.networks.mixing import compute_modality_weights, detect_available

ALL = torch.ones(1, 4, dtype=torch.bool)


def test_weights_are_a_softmax_over_modalities():
    """exp(0) : exp(ln 2) : exp(ln 5) = 1 : 2 : 5 of 8."""
    values = torch.tensor([[[0.0], [math.log(2)], [math.log(5)]]])
    weights = compute_modality_weights(values, torch.ones(1, 3, dtype=torch.bool))
    torch.testing.assert_close(weights, torch.tensor([[[1 / 8], [2 / 8], [5 / 8]]]))


def test_weight_of_missing_modality_goes_to_others():
    """Without the third of 1 : 2 : 5, the weights are 1/3 and 2/3."""
    values = torch.tensor([[[0.0], [math.log(2)], [math.log(5)]]])
    weights = compute_modality_weights(values, torch.tensor([[True, True, False]]))
    torch.testing.assert_close(weights, torch.tensor([[[1 / 3], [2 / 3], [0.0]]]))
    assert weights[0, 2, 0] == 0


def test_regions_have_their_own_weights():
    """The softmax runs separately for each region."""
    values = torch.tensor([[[0.0, math.log(3)], [0.0, 0.0]]])
    weights = compute_modality_weights(values, torch.ones(1, 2, dtype=torch.bool))
    torch.testing.assert_close(weights, torch.tensor([[[0.5, 0.75], [0.5, 0.25]]]))


@given(values=st.lists(st.floats(-1e4, 1e4, width=32), min_size=12, max_size=12), subset=st.sampled_from(SUBSETS))
def test_weights_sum_to_one_over_available_modalities(values, subset):
    """For any gate values, the sum is 1, missing modalities have exactly 0, and no weight is negative."""
    available = torch.tensor([to_flags(subset)])
    weights = compute_modality_weights(torch.tensor(values).reshape(1, 4, 3), available)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(1, 3))
    assert (weights >= 0).all()
    assert (weights[~available] == 0).all()


def test_no_available_modality_gives_zeros_and_finite_gradients():
    """A softmax over nothing would give NaN, forwards and backwards."""
    values = torch.zeros(1, 4, 3, requires_grad=True)
    weights = compute_modality_weights(values, torch.zeros(1, 4, dtype=torch.bool))
    weights.sum().backward()
    assert (weights == 0).all()
    assert values.grad.isfinite().all()


@pytest.mark.parametrize("subset", SUBSETS)
def test_availability_is_derived_from_content(subset):
    """A channel of zeros counts as missing."""
    image = torch.zeros(1, 4, 2, 2, 2)
    image[:, torch.tensor(to_flags(subset)), 1, 1, 1] = 0.5
    assert detect_available(image).tolist() == [list(to_flags(subset))]


def test_all_zero_window_counts_as_complete():
    """Availability cannot be derived from an all-zero window, and an empty mixture is undefined."""
    assert detect_available(torch.zeros(2, 4, 2, 2, 2)).all()
