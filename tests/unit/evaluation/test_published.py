"""Published figures: complete tables whose columns agree with their printed means."""

import statistics

import pytest

from brats_mm.domain.availability import ALL_AVAILABLE, SUBSETS
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.evaluation.published import BY_SET, MEANS, PAPER_ORDER, Protocol, select_sets


def test_order_of_paper_has_each_subset_once():
    assert set(SUBSETS) == set(PAPER_ORDER)
    assert len(PAPER_ORDER) == 15


def test_simmlm_row_matches_supplement():
    row = next(one for one in MEANS if (one.method, one.protocol) == ("SimMLM", Protocol.HOLD_OUT_2018))
    assert (row.et, row.tc, row.wt) == (63.22, 78.54, 87.21)


@pytest.mark.parametrize("row", BY_SET, ids=lambda row: f"{row.method}-{row.protocol.name}")
def test_columns_have_15_values_and_printed_mean(row):
    printed = next(mean for mean in MEANS if mean.method.startswith(row.method) and mean.protocol is row.protocol)
    for region in REGIONS:
        assert len(row.dice[region]) == 15
        assert getattr(printed, region.value) == pytest.approx(statistics.mean(row.dice[region]), abs=0.25)


def test_value_is_found_by_subset_and_region():
    demoseg = select_sets(Protocol.THREE_FOLD_2018)[-1]
    assert demoseg.method == "DeMoSeg"
    assert (demoseg.value(ALL_AVAILABLE, Region.ET), demoseg.value(ALL_AVAILABLE, Region.WT)) == (80.01, 90.49)
    assert demoseg.value(frozenset({Modality.FLAIR}), Region.ET) == 42.81
