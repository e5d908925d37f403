"""A warning where the probabilities are as low as in heads without tumour."""

import pytest

from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import Region
from brats_mm.trust.no_tumour import NO_TUMOUR, no_tumour_score, no_tumour_warnings

T1, T1CE, T2, FLAIR = Modality
ALL = frozenset(Modality)


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
    found = no_tumour_warnings(frozenset(available), estimates(whole, core))
    assert found == ((NO_TUMOUR,) if is_warned else ())


def test_score_is_mean_of_whole_tumour_and_core():
    assert no_tumour_score(ALL, estimates(0.9, 0.5)) == pytest.approx(0.7)
    assert no_tumour_score(ALL, estimates(0.9, None)) == pytest.approx(0.45)


@pytest.mark.parametrize("available", [{FLAIR}, {T1CE}, {T1, T1CE}])
def test_no_warning_for_single_sequences_or_t1_with_t1ce(available):
    assert no_tumour_warnings(frozenset(available), estimates(0.1, 0.1)) == ()


def test_no_warning_for_empty_segmentation():
    assert no_tumour_warnings(ALL, estimates(None, None, None)) == ()
