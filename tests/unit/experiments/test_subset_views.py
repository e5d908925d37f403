"""Subsets drawn for training: which ones, how often, and their flags."""

from collections import Counter

import pytest
import torch

from brats_mm.errors import OptionError
from brats_mm.experiments.subset_views import RandSubsetsd

WHOLE = {"image": torch.ones(4, 1, 1, 1), "available": torch.tensor([True] * 4)}
WITHOUT_T2 = {"image": torch.ones(4, 1, 1, 1), "available": torch.tensor([True, True, False, True])}


def drawn(item: dict, sampler: str, times: int = 3000, **options: float) -> Counter:
    transform = RandSubsetsd(sampler, views=times, **options).set_random_state(seed=0)
    return Counter(tuple(row) for row in transform(item)["available"].tolist())


def test_uniform_draws_each_of_15_subsets_equally():
    counts = drawn(WHOLE, "uniform")
    assert len(counts) == 15
    assert max(counts.values()) < 1.4 * min(counts.values())


def test_subsets_are_drawn_from_available_sequences():
    assert len(drawn(WITHOUT_T2, "uniform")) == 7
    assert not any(row[2] for row in drawn(WITHOUT_T2, "each"))


def test_modalities_are_dropped_independently_but_never_all():
    counts = drawn(WHOLE, "each", drop_prob=0.2)
    assert counts[True, True, True, True] / 3000 == pytest.approx(0.8**4 / (1 - 0.2**4), abs=0.03)
    assert (False, False, False, False) not in counts


def test_one_drops_at_most_one_modality():
    counts = drawn(WHOLE, "one")
    assert {sum(row) for row in counts} == {3, 4}
    assert counts[True, True, True, True] / 3000 == pytest.approx(1 / 5, abs=0.03)


def test_last_sequence_is_kept():
    alone = {"image": torch.ones(4, 1, 1, 1), "available": torch.tensor([False, True, False, False])}
    assert list(drawn(alone, "one", 20)) == [(False, True, False, False)]


def test_whole_drops_nothing():
    assert list(drawn(WITHOUT_T2, "whole", 20)) == [(True, True, False, True)]


def test_image_and_original_availability_are_kept():
    result = RandSubsetsd(views=2).set_random_state(seed=1)(WITHOUT_T2)
    assert result["available"].shape == (2, 4)
    assert torch.equal(result["present"], WITHOUT_T2["available"])
    assert torch.equal(result["image"], WITHOUT_T2["image"])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"sampler": "some"}, "uniform, each, one, whole"), ({"views": 0}, "at least 1"), ({"drop_prob": 1}, "below 1")],
)
def test_rejects_invalid_settings(options, message):
    with pytest.raises(OptionError, match=message):
        RandSubsetsd(**options)
