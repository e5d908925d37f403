"""Uncertain regions: balls are found with their volumes, thin outlines are not, and overlapping regions are merged."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brats_mm.domain.regions import Region
from brats_mm.domain.volume import Grid
from brats_mm.trust.uncertain_regions import find_uncertain_regions

SIDE = 48
SURE_NOT = np.full((SIDE, SIDE, SIDE), 0.01, np.float32)


def distance(centre):
    """Return the distance of each voxel from a point, in voxels."""
    axes = np.ogrid[tuple(slice(SIDE) for _ in range(3))]
    return np.sqrt(sum((axis - at) ** 2 for axis, at in zip(axes, centre, strict=True)))


def areas_of(wt=SURE_NOT, tc=SURE_NOT, et=SURE_NOT, affine=None):
    grid = Grid((SIDE, SIDE, SIDE), np.eye(4) if affine is None else affine)
    return find_uncertain_regions({Region.WT: wt, Region.TC: tc, Region.ET: et}, grid)


def with_ball(centre, radius, probability=0.5, onto=SURE_NOT):
    return np.where(distance(centre) <= radius, np.float32(probability), onto)


def test_certain_probabilities_give_no_uncertain_regions():
    assert areas_of() == ()


def test_ball_is_one_region_with_its_volume_and_centre():
    (area,) = areas_of(et=with_ball((20, 21, 22), 8))
    assert area.region is Region.ET
    assert area.volume_ml == pytest.approx(4 / 3 * math.pi * 8**3 / 1000, rel=0.05)
    assert np.linalg.norm(np.subtract(area.voxel, (20, 21, 22))) <= 2
    assert area.mean_entropy_nats == pytest.approx(math.log(2), abs=1e-6)
    assert area.peak_entropy_nats == pytest.approx(math.log(2), abs=1e-6)


def test_tumour_outline_is_no_uncertain_region():
    """A shell of 4 mm between a certain inside and a certain outside."""
    inside = with_ball((24, 24, 24), 18, 0.5)
    assert areas_of(wt=with_ball((24, 24, 24), 14, 0.99, onto=inside)) == ()


def test_lumps_on_outline_are_separate_regions():
    outline = with_ball((24, 24, 24), 14, 0.99, onto=with_ball((24, 24, 24), 17, 0.5))
    lumps = with_ball((24, 24, 9), 5, 0.5, onto=with_ball((24, 40, 24), 7, 0.5, onto=outline))
    first, second = areas_of(wt=lumps)
    assert np.linalg.norm(np.subtract(first.voxel, (24, 40, 24))) <= 4
    assert np.linalg.norm(np.subtract(second.voxel, (24, 24, 9))) <= 4
    assert first.volume_ml > second.volume_ml
    assert first.volume_ml < 2.5


def test_regions_are_ordered_by_total_uncertainty():
    """The larger ball at 0.25 (0.56 nats) holds more than the smaller one at 0.5 (0.69 nats)."""
    two = with_ball((12, 12, 12), 8, 0.25, onto=with_ball((34, 34, 34), 6, 0.5))
    assert [round(area.mean_entropy_nats, 2) for area in areas_of(wt=two)] == [0.56, 0.69]


def test_place_uncertain_in_two_regions_is_listed_once():
    (area,) = areas_of(tc=with_ball((24, 24, 24), 9), et=with_ball((25, 24, 24), 6))
    assert (area.region, area.also) == (Region.TC, (Region.ET,))


def test_lists_at_most_ten_regions():
    probability = SURE_NOT
    for x in (7, 23, 39):
        for y in (7, 23, 39):
            for z in (12, 36):
                probability = with_ball((x, y, z), 5, onto=probability)
    assert len(areas_of(wt=probability)) == 10


def test_position_is_in_mm_and_volume_uses_voxel_size():
    affine = np.array([[-1.0, 0, 0, 50], [0, 0, 3, -20], [0, 1, 0, 7], [0, 0, 0, 1]])
    (area,) = areas_of(wt=with_ball((24, 24, 24), 9), affine=affine)
    x, y, z = area.voxel
    assert area.position_mm_ras == (50 - x, 3 * z - 20, y + 7)
    assert area.volume_ml == pytest.approx(4 / 3 * math.pi * 9**3 * 3 / 1000, rel=0.08)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_position_is_an_uncertain_voxel(seed):
    numbers = np.random.default_rng(seed)
    centre, radius = numbers.integers(0, SIDE, 3), numbers.uniform(4, 14)
    probability = with_ball(centre, radius, numbers.uniform(0.26, 0.74))
    for area in areas_of(wt=probability):
        assert 0.25 <= probability[area.voxel] <= 0.75
        assert 0 < area.volume_ml <= np.count_nonzero(probability > 0.2) * 0.001 + 1e-9
