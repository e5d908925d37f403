"""Validation uses each case with every possible subset."""

from collections import Counter

import torch

from brats_mm.data.modality_sampling import EverySubsetd


def _shown(*has: bool) -> list[tuple[bool, ...]]:
    views = EverySubsetd()({"available": torch.tensor(has)})["available"]
    return [tuple(view) for view in views.tolist()]


def test_complete_case_has_15_subsets() -> None:
    shown = _shown(True, True, True, True)

    assert len(shown) == len(set(shown)) == 15
    assert (False, False, False, False) not in shown


def test_case_with_two_sequences_counts_15_times() -> None:
    shown = Counter(_shown(False, True, False, True))

    assert sum(shown.values()) == 15
    assert set(shown) == {(False, True, False, True), (False, True, False, False), (False, False, False, True)}
