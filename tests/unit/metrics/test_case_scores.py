"""Scores of one prediction, and running means."""

import math
import statistics

import numpy as np
import pytest

from brats_mm.domain.regions import REGIONS, Region
from brats_mm.evaluation.summary import RunningMean
from brats_mm.metrics.case_scores import Rule, prepare_reference, score_regions
from brats_mm.metrics.empty import PENALTY_MM, EmptyPolicy


def cube(side: int) -> np.ndarray:
    mask = np.zeros((20, 20, 20), np.bool_)
    mask[2 : 2 + side, 2 : 2 + side, 2 : 2 + side] = True
    return mask


def nested(enhancing: int) -> dict[Region, np.ndarray]:
    return {Region.WT: cube(12), Region.TC: cube(10), Region.ET: cube(enhancing)}


def test_small_enhancing_tumour_rule_changes_only_enhancing_tumour():
    scores = score_regions(nested(7), prepare_reference(nested(8), (1.0, 1.0, 1.0)), EmptyPolicy.BRATS)
    raw, ruled = scores[Rule.RAW], scores[Rule.ET500]
    assert raw[Region.ET].dice == pytest.approx(2 * 343 / (343 + 512))
    assert (ruled[Region.ET].dice, ruled[Region.ET].hd95_mm, ruled[Region.ET].predicted_voxels) == (0, PENALTY_MM, 0)
    assert all(raw[region] == ruled[region] for region in (Region.WT, Region.TC))


def test_large_enhancing_tumour_scores_equally_under_both_rules():
    scores = score_regions(nested(8), prepare_reference(nested(8), (1.0, 1.0, 1.0)), EmptyPolicy.BRATS)
    assert scores[Rule.RAW] == scores[Rule.ET500]
    assert {scores[Rule.RAW][region].dice for region in REGIONS} == {1}


def test_distances_scale_with_spacing():
    shifted = np.roll(cube(8), 2, axis=2)
    masks = dict.fromkeys(REGIONS, shifted)
    reference = prepare_reference({region: cube(8) for region in REGIONS}, (1.0, 1.0, 3.0))
    assert score_regions(masks, reference, EmptyPolicy.BRATS)[Rule.RAW][Region.WT].hd95_mm == 6


def test_running_mean_equals_mean_of_all_values():
    values = [0.3, 0.9, 0.1, 0.4]
    running = RunningMean()
    for value in (*values, math.nan):
        running.add(value)
    assert running.count == 4
    assert running.mean == pytest.approx(statistics.mean(values))
    assert running.std == pytest.approx(statistics.stdev(values))
    assert math.isnan(RunningMean().std)
