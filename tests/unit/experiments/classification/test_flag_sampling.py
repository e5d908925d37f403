"""Availability subsets of any number of modalities."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from brats_mm.errors import OptionError
from brats_mm.experiments.classification.flag_sampling import (
    EveryFlagsd,
    RandPairOfFlagsd,
    list_flag_subsets,
    list_nested_flags,
    select_items_with,
    simulate_gaps,
)

FIRST, SECOND, BOTH = (True, False), (False, True), (True, True)


def test_two_modalities_have_three_subsets_and_two_pairs():
    assert set(list_flag_subsets(BOTH)) == {FIRST, SECOND, BOTH}
    assert set(list_nested_flags(BOTH)) == {(BOTH, FIRST), (BOTH, SECOND)}


def test_four_modalities_have_15_subsets_and_50_pairs():
    assert len(list_flag_subsets((True,) * 4)) == 15
    assert len(list_nested_flags((True,) * 4)) == 50


@given(st.lists(st.booleans(), min_size=1, max_size=5).filter(any).map(tuple))
def test_pairs_are_nested_in_available_modalities(available):
    for more, fewer in list_nested_flags(available):
        assert any(fewer)
        assert more != fewer
        assert all(few <= much <= there for few, much, there in zip(fewer, more, available, strict=True))


def test_drawn_pair_is_valid_and_single_modality_pairs_with_itself():
    draw = RandPairOfFlagsd().set_random_state(seed=0)
    drawn = [draw({"available": torch.tensor(BOTH)}) for _ in range(200)]
    assert all(one["more"].tolist() == [list(BOTH)] for one in drawn)
    share = sum(one["fewer"].tolist() == [list(FIRST)] for one in drawn) / 200
    assert share == pytest.approx(0.5, abs=0.12)
    alone = draw({"available": torch.tensor(SECOND)})
    assert alone["more"].tolist() == alone["fewer"].tolist() == [list(SECOND)]


def test_every_subset_is_used_and_impossible_ones_are_replaced():
    shown = EveryFlagsd()({"available": torch.tensor(BOTH)})["available"]
    assert {tuple(flags) for flags in shown.tolist()} == {FIRST, SECOND, BOTH}
    assert EveryFlagsd()({"available": torch.tensor(FIRST)})["available"].tolist() == [list(FIRST)] * 3


def items(count, available=BOTH):
    return [{"name": str(number), "available": available} for number in range(count)]


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2, 0.3, 0.5])
def test_gaps_keep_modality_shares_of_paper(share):
    kept = simulate_gaps(items(200), {"image": 1.0, "audio": share}, seed=1)
    assert len(select_items_with(kept, 1)) == round(200 * share)
    assert len(select_items_with(kept, 0)) == 200


def test_gaps_repeat_with_seed_and_keep_one_modality_per_sample():
    shares = {"image": 0.5, "audio": 0.5}
    kept = simulate_gaps(items(100), shares, seed=1)
    assert kept == simulate_gaps(items(100), shares, seed=1)
    assert kept != simulate_gaps(items(100), shares, seed=2)
    assert all(any(item["available"]) for item in kept)
    assert all(item["available"] == FIRST for item in simulate_gaps(items(9, FIRST), {"image": 0.0, "audio": 1.0}))


def test_rejects_share_above_one():
    with pytest.raises(OptionError, match=r"audio 30\. Each must be from 0 to 1"):
        simulate_gaps(items(2), {"image": 1.0, "audio": 30})
