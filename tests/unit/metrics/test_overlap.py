"""Overlap counts, ratios, and the policies for empty regions."""

import math

import numpy as np
import pytest

from brats_mm.domain.regions import Region
from brats_mm.metrics.empty import EmptyPolicy, relabel_small_enhancing
from brats_mm.metrics.overlap import Counts, compute_overlap, count


def line(*voxels: int) -> np.ndarray:
    return np.array(voxels, np.bool_).reshape(1, 1, -1)


def test_counts_true_and_false_voxels():
    assert Counts(2, 1, 3) == count(line(1, 1, 1, 0, 0, 0, 0), line(1, 1, 0, 1, 1, 1, 0))


def test_ratios_follow_from_counts():
    scores = compute_overlap(Counts(2, 1, 3), EmptyPolicy.BRATS)
    assert (scores.dice, scores.sensitivity, pytest.approx(scores.precision)) == (0.5, 0.4, 2 / 3)


def test_both_empty_scores_one_under_brats_and_is_skipped_under_skip():
    assert compute_overlap(Counts(0, 0, 0), EmptyPolicy.BRATS).dice == 1
    assert math.isnan(compute_overlap(Counts(0, 0, 0), EmptyPolicy.SKIP).dice)


def test_false_region_scores_zero_under_brats_and_is_skipped_under_skip():
    scores = compute_overlap(Counts(0, 5, 0), EmptyPolicy.BRATS)
    assert (scores.dice, scores.precision) == (0, 0)
    assert math.isnan(scores.sensitivity)
    assert math.isnan(compute_overlap(Counts(0, 5, 0), EmptyPolicy.SKIP).dice)


@pytest.mark.parametrize("policy", EmptyPolicy)
def test_missed_region_scores_zero_under_every_policy(policy):
    scores = compute_overlap(Counts(0, 0, 5), policy)
    assert (scores.dice, scores.sensitivity) == (0, 0)
    assert math.isnan(scores.precision)


@pytest.mark.parametrize(("voxels", "kept"), [(499, 0), (500, 500)])
def test_enhancing_tumour_below_500_voxels_becomes_necrosis(voxels, kept):
    core = np.zeros((10, 10, 10), np.bool_)
    core.reshape(-1)[:600] = True
    enhancing = np.zeros_like(core)
    enhancing.reshape(-1)[:voxels] = True
    after = relabel_small_enhancing({Region.WT: core, Region.TC: core, Region.ET: enhancing})
    assert (kept, 600, 600) == tuple(after[region].sum() for region in (Region.ET, Region.TC, Region.WT))
    assert enhancing.sum() == voxels, "the input is left as it was"
