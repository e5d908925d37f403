"""Modality dropout: which sequences, how often, and exact zeros for dropped channels."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from brats_mm.data.modality_sampling import (
    RandPairOfSubsetsd,
    RandSubsetd,
    draw_pair,
    draw_subset,
    list_accepted_draws,
    list_nested_pairs,
    list_subsets,
)
from brats_mm.domain.availability import ALL_AVAILABLE, SUBSETS
from brats_mm.domain.modality import Modality
from brats_mm.errors import OptionError

T1CE_FLAIR = frozenset({Modality.T1CE, Modality.FLAIR})


def test_simmlm_has_86_pairs() -> None:
    """36 pairs without the full set count twice, 14 with it once: 2 x 36 + 14."""
    draws = Counter(list_accepted_draws(ALL_AVAILABLE))

    assert sum(draws.values()) == 86
    assert {count for (more, _), count in draws.items() if more == ALL_AVAILABLE} == {1}
    assert {count for (more, _), count in draws.items() if more != ALL_AVAILABLE} == {2}


def test_simmlm_subset_sizes_have_expected_shares() -> None:
    """Of the 86 larger subsets, 14 are full, 48 have three and 24 two.

    Of the smaller, 4 have three, 30 two and 52 one.
    """
    draws = list_accepted_draws(ALL_AVAILABLE)

    assert Counter(len(more) for more, _ in draws) == {4: 14, 3: 48, 2: 24}
    assert Counter(len(fewer) for _, fewer in draws) == {3: 4, 2: 30, 1: 52}


def test_uniform_sampler_has_each_of_50_pairs_once() -> None:
    pairs = list_nested_pairs(ALL_AVAILABLE)

    assert len(pairs) == len(set(pairs)) == 50


def test_subset_is_drawn_uniformly_from_15() -> None:
    rng = np.random.RandomState(0)
    counts = Counter(draw_subset(rng) for _ in range(3000))

    assert set(counts) == set(SUBSETS)
    assert max(counts.values()) < 2 * min(counts.values())


@given(st.sampled_from(SUBSETS), st.sampled_from(["released", "uniform"]), st.integers(0, 2**31))
def test_pair_is_strictly_nested_in_available_sequences(
    available: frozenset[Modality], sampler: str, seed: int
) -> None:
    more, fewer = draw_pair(np.random.RandomState(seed), available, sampler=sampler)

    assert fewer <= more <= available
    assert fewer
    assert fewer != more or len(available) == 1


def test_single_sequence_has_one_subset() -> None:
    assert list_subsets(frozenset({Modality.T2})) == (frozenset({Modality.T2}),)


def test_pairs_repeat_with_seed() -> None:
    item = {"image": torch.ones(4, 2, 2, 2), "available": torch.ones(4, dtype=torch.bool)}
    first = [RandPairOfSubsetsd().set_random_state(seed=5)(item) for _ in range(2)]

    assert torch.equal(first[0]["more"], first[1]["more"])
    assert torch.equal(first[0]["fewer"] | first[0]["more"], first[0]["more"])
    assert first[0]["image"] is item["image"]


def test_unknown_sampler_error_lists_choices() -> None:
    with pytest.raises(OptionError, match=r"'pairs'\. Choose one of released, uniform"):
        RandPairOfSubsetsd("pairs")


def test_subset_of_case_is_complete_single_or_between_by_its_shares() -> None:
    transform = RandSubsetd(full_share=0.3, single_share=0.2).set_random_state(seed=0)
    item = {"available": torch.ones(4, dtype=torch.bool)}
    sizes = Counter(int(transform(item)["available"].sum()) for _ in range(4000))

    assert sizes[4] / 4000 == pytest.approx(0.3, abs=0.03)
    assert sizes[1] / 4000 == pytest.approx(0.2, abs=0.03)
    assert sizes[2] / 4000 == pytest.approx(0.5 * 6 / 10, abs=0.03)


@pytest.mark.parametrize("flags", [(1, 0, 0, 0), (0, 1, 0, 1), (1, 1, 0, 1)])
def test_subset_of_incomplete_case_has_only_its_sequences(flags: tuple[int, ...]) -> None:
    available = torch.tensor(flags, dtype=torch.bool)
    transform = RandSubsetd().set_random_state(seed=0)
    drawn = torch.cat([transform({"available": available})["available"] for _ in range(200)])

    assert not drawn[:, ~available].any()
    assert set(drawn.sum(dim=1).tolist()) == set(range(1, sum(flags) + 1))


@pytest.mark.parametrize("shares", [(0.8, 0.3), (-0.1, 0.3)])
def test_rejects_shares_that_do_not_fit(shares: tuple[float, float]) -> None:
    with pytest.raises(OptionError, match="add up to at most 1"):
        RandSubsetd(full_share=shares[0], single_share=shares[1])
