"""A warning where the probabilities are as low as in heads without tumour."""

import math
from dataclasses import replace

import pytest

from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import Region
from brats_mm.trust.no_tumour import NO_TUMOUR, compute_no_tumour_score, find_no_tumour_warnings, fit_no_tumour_scores
from brats_mm.trust.record import group_by_case
from tests.fakes.trust_records import made_records

T1, T1CE, T2, FLAIR = Modality
ALL = frozenset(Modality)
LEAST = {2: 0.71, 3: 0.71, 4: 0.77}


def estimates(whole, core, enhancing=0.5):
    return {Region.WT: whole, Region.TC: core, Region.ET: enhancing}


@pytest.mark.parametrize(
    ("available", "whole", "core", "is_warned"),
    [
        (ALL, 0.78, 0.42, True),  # a head without tumour
        (ALL, 0.87, 0.80, False),  # the least certain case
        (ALL, 0.80, 0.74, False),  # exactly the limit of 0.77
        ({T1CE, FLAIR}, 0.76, 0.65, True),
        ({T1CE, FLAIR}, 0.80, 0.64, False),
        ({T1, T2, FLAIR}, 0.80, None, True),  # no core
    ],
)
def test_warns_of_low_mean_of_whole_tumour_and_core(available, whole, core, is_warned):
    found = find_no_tumour_warnings(frozenset(available), estimates(whole, core), LEAST)
    assert found == ((NO_TUMOUR,) if is_warned else ())


def test_score_is_mean_of_whole_tumour_and_core():
    assert compute_no_tumour_score(ALL, estimates(0.9, 0.5)) == pytest.approx(0.7)
    assert compute_no_tumour_score(ALL, estimates(0.9, None)) == pytest.approx(0.45)


@pytest.mark.parametrize("available", [{FLAIR}, {T1CE}, {T1, T1CE}])
def test_no_warning_for_single_sequences_or_t1_with_t1ce(available):
    assert find_no_tumour_warnings(frozenset(available), estimates(0.1, 0.1), LEAST) == ()


def test_no_warning_for_empty_segmentation():
    assert find_no_tumour_warnings(ALL, estimates(None, None, None), LEAST) == ()


def test_no_warning_for_number_of_sequences_without_fitted_score():
    assert find_no_tumour_warnings(ALL, estimates(0.1, 0.1), {2: 0.71}) == ()


def test_fitted_score_warns_of_at_most_five_percent_of_labelled_cases():
    """With four sequences, the estimates of 12 cases are 0.7 to 0.792, so none may be below. Of 60 pairs, three may."""
    cases = group_by_case(made_records(12))
    least = fit_no_tumour_scores(cases.values())
    assert list(least) == [2, 3, 4]
    assert least[4] == pytest.approx(0.7)
    for count, share in ((2, 3 / 60), (3, 2 / 48), (4, 0.0)):
        checked = [
            find_no_tumour_warnings(subset, {region: case[subset, region].estimated_dice for region in Region}, least)
            for case in cases.values()
            for subset in {subset for subset, _ in case}
            if len(subset) == count and subset & {T2, FLAIR}
        ]
        assert sum(map(bool, checked)) / len(checked) <= share


def test_heads_without_segmentation_do_not_count_in_fit():
    records = [replace(one, estimated_dice=math.nan) for one in made_records(4)]
    assert fit_no_tumour_scores(group_by_case(records).values()) == {}
