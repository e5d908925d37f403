"""Validation shows each case under every availability set it can have."""

from collections import Counter
from typing import Any

import torch

from brats_mm.data.dataset import EverySubset


def _item(data: dict[str, list[bool]]) -> dict[str, Any]:
    available = torch.tensor(data["has"])
    return {"image": torch.ones(4, 2, 2, 2) * available[:, None, None, None], "available": available}


def test_a_complete_case_appears_under_each_of_the_15_sets() -> None:
    shown = EverySubset([{"has": [True] * 4}], _item)

    sets = {tuple(shown[index]["available"].tolist()) for index in range(len(shown))}
    assert len(shown) == len(sets) == 15
    for index in range(15):
        item = shown[index]
        assert torch.equal(item["image"].flatten(1).any(dim=1), item["available"])


def test_a_case_with_two_sequences_still_counts_15_times() -> None:
    shown = EverySubset([{"has": [False, True, False, True]}], _item)

    sets = Counter(tuple(shown[index]["available"].tolist()) for index in range(len(shown)))
    assert sum(sets.values()) == 15
    assert len(sets) == 3
    assert (False, False, False, False) not in sets
