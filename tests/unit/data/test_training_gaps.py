"""Sequences are dropped from a share of the training cases, chosen by the seed, and no case loses all."""

from itertools import pairwise

import pytest

from brats_mm.data.training_gaps import add_gaps, parse_shares
from brats_mm.domain.modality import Modality
from brats_mm.errors import OptionError

NAMES = ("t1", "t1ce", "t2", "flair")
ITEMS = [{"name": f"case_{number}", "image": {name: f"{number}/{name}.nii" for name in NAMES}} for number in range(20)]


def having(items, name):
    return {item["name"] for item in items if name in item["image"]}


def test_share_of_cases_keeps_sequence_and_all_keep_others():
    items = add_gaps(ITEMS, {Modality.T1CE: 0.25}, seed=1)
    assert len(having(items, "t1ce")) == 5
    assert all(len(having(items, name)) == 20 for name in ("t1", "t2", "flair"))
    assert all(len(item["image"]) == 4 for item in ITEMS), "the given cases are unchanged"


def test_smaller_share_is_subset_of_larger_share():
    shares = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
    sets = [having(add_gaps(ITEMS, {Modality.FLAIR: share}, seed=7), "flair") for share in shares]
    assert [len(one) for one in sets] == [1, 2, 4, 6, 10, 20]
    assert all(few < more for few, more in pairwise(sets))


def test_seed_chooses_cases_independently_per_sequence():
    first, again, other = (having(add_gaps(ITEMS, {Modality.T2: 0.5}, seed=seed), "t2") for seed in (1, 1, 2))
    assert first == again != other
    both = add_gaps(ITEMS, {Modality.T1: 0.5, Modality.T2: 0.5}, seed=1)
    assert having(both, "t2") == first


def test_no_case_loses_all_sequences():
    items = add_gaps(ITEMS, dict.fromkeys(Modality, 0.0), seed=1)
    assert {len(item["image"]) for item in items} == {1}
    assert len({next(iter(item["image"])) for item in items}) > 1


def test_share_refers_to_cases_with_sequence():
    items = [*ITEMS[:2], {"name": "flat", "image": {"t1": "a.nii", "t2": "a.nii"}, "volumes": {"t1": 0, "t2": 1}}]
    result = add_gaps(items, {Modality.T2: 0.0, Modality.T1CE: 1.0})
    assert result[2] == {"name": "flat", "image": {"t1": "a.nii"}, "volumes": {"t1": 0}}
    assert having(result, "t1ce") == {"case_0", "case_1"}


def test_rejects_share_outside_zero_to_one():
    with pytest.raises(OptionError, match=r"keep T1ce is 20\. Use a fraction from 0 to 1"):
        add_gaps(ITEMS, {Modality.T1CE: 20})


def test_shares_are_parsed_from_text():
    assert parse_shares(["t1c=0.1", "flair=1"]) == {Modality.T1CE: 0.1, Modality.FLAIR: 1.0}
    with pytest.raises(OptionError, match=r"'t2' has no fraction\. Use one such as t2=0\.1"):
        parse_shares(["t2"])
    with pytest.raises(OptionError, match="Unknown sequence 'swi'"):
        parse_shares(["swi=0.5"])


def test_rejects_share_that_keeps_no_case():
    with pytest.raises(OptionError, match=r"t1ce=0\.02 keeps T1ce in none of the 20 training cases that have it"):
        add_gaps(ITEMS, {Modality.T1CE: 0.02})
