"""Subsets of sequences that crops show in training."""

from collections import Counter

import numpy as np
import pytest
import torch

from brats_mm.networks.split_cross_sequence import OTHERS, T1CE_COMBINED
from brats_mm.training.timed.views import ViewSettings, draw_subset, list_subsets

COMPLETE = torch.ones(4, dtype=torch.bool)


def draw(available, settings, times=4000):
    rng = np.random.default_rng(0)
    views = (draw_subset(available, settings, rng) for _ in range(times))
    return Counter(tuple(np.flatnonzero(view.numpy()).tolist()) for view in views)


def test_subsets_follow_their_probabilities():
    counts = draw(COMPLETE, ViewSettings())
    shares = [sum(n for subset, n in counts.items() if len(subset) == size) / 4000 for size in (1, 2, 3, 4)]
    assert shares == pytest.approx([0.15, 0.33, 0.22, 0.30], abs=0.03)


def test_subset_never_has_sequences_missing_from_case():
    assert set(draw(torch.tensor([True, False, True, False]), ViewSettings(), 200)) == {(0,), (2,), (0, 2)}


def test_the_two_experts_share_all_subsets():
    first, second = (list_subsets(COMPLETE, expert) for expert in (T1CE_COMBINED, OTHERS))
    assert len(first) == 7
    assert all(1 in subset and len(subset) > 1 for subset in first)
    assert sorted(first + second) == sorted(list_subsets(COMPLETE))


@pytest.mark.parametrize(("expert", "full"), [(T1CE_COMBINED, (0, 1, 2, 3)), (OTHERS, (0, 2, 3))])
def test_only_the_subsets_of_an_expert_are_drawn(expert, full):
    counts = draw(COMPLETE, ViewSettings(full_share=0.25, single_share=0.3, expert=expert))
    assert set(counts) == set(list_subsets(COMPLETE, expert))
    assert counts[full] / 4000 == pytest.approx(0.25, abs=0.03)


def test_single_sequence_is_shown_whatever_the_shares():
    t1ce_alone = torch.tensor([False, True, False, False])
    assert set(draw(t1ce_alone, ViewSettings(full_share=0.0, single_share=0.0), 5)) == {(1,)}
    assert list_subsets(t1ce_alone, T1CE_COMBINED) == []
