"""The 15 subsets and the 50 nested pairs."""

from brats_mm.domain.availability import NESTED_PAIRS, SUBSETS, describe, format_subset, to_flags
from brats_mm.domain.modality import Modality


def test_there_are_15_subsets_and_50_nested_pairs():
    """4 + 6 + 4 + 1 subsets, and 6 x 2 + 4 x 6 + 14 pairs."""
    assert len(set(SUBSETS)) == 15
    assert len(set(NESTED_PAIRS)) == 50
    assert all(fewer < more for more, fewer in NESTED_PAIRS)


def test_names_and_flags_follow_channel_order():
    some = frozenset({Modality.FLAIR, Modality.T1})
    assert format_subset(some) == "t1+flair"
    assert to_flags(some) == (True, False, False, True)
    assert describe(some) == "T1, FLAIR"
    assert describe(()) == "none"
