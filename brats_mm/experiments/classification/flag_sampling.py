"""Availability sets of any number of modalities as flags, for training pairs, validation and artificial gaps."""

from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import torch
from monai.transforms import RandomizableTransform, Transform

from brats_mm.errors import OptionError

Flags = tuple[bool, ...]
"""Availability of each modality, in the order of the inputs."""


@lru_cache
def list_flag_subsets(available: Flags) -> tuple[Flags, ...]:
    """Return the non-empty subsets of the available modalities, smallest first."""
    choices = [(False, True) if is_available else (False,) for is_available in available]
    return tuple(sorted((flags for flags in product(*choices) if any(flags)), key=sum))


@lru_cache
def list_nested_flags(available: Flags) -> tuple[tuple[Flags, Flags], ...]:
    """Return all pairs (more, fewer) of non-empty subsets in which `more` strictly contains `fewer`.

    Args:
        available: modalities to choose from.
    """
    subsets = list_flag_subsets(available)
    pairs = [(more, fewer) for more in subsets for fewer in subsets if more != fewer]
    return tuple(
        pair for pair in pairs if all(more_flag >= fewer_flag for more_flag, fewer_flag in zip(*pair, strict=True))
    )


class RandPairOfFlagsd(RandomizableTransform):
    """Draw the availability sets of a MoFe pair, uniformly over the nested pairs. Adds `more` and `fewer`, (1, m).

    If only one modality is available, both sets contain only it.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        available = _to_flags(data["available"])
        choices = list_nested_flags(available) or ((available, available),)
        more, fewer = choices[int(self.R.randint(len(choices)))]
        return {**data, "more": torch.tensor([more]), "fewer": torch.tensor([fewer])}


class EveryFlagsd(Transform):
    """Show a sample under every availability set. `available` becomes (2^m - 1, m).

    A set with a modality that the sample lacks is replaced by a subset of its modalities.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        available = _to_flags(data["available"])
        choices = list_flag_subsets(available)
        count = 2 ** len(available) - 1
        return {**data, "available": torch.tensor([choices[index % len(choices)] for index in range(count)])}


def simulate_gaps(
    items: Sequence[Mapping[str, Any]], shares: Mapping[str, float | int], *, seed: int = 0
) -> list[dict[str, Any]]:
    """Remove modalities permanently from some items, to simulate incomplete training data.

    SimMLM trains on avMNIST with the sounds of 5, 10, 20, 30 or 50 % of the samples (supplement, figure A2).

    Args:
        items: items with `available`, one flag per modality.
        shares: fraction of the samples that keep each modality, in the order of the flags, 0 to 1. The seed selects the
            samples. A sample that would lose all modalities keeps one of them.
        seed: seed of the selection.

    Raises:
        OptionError: a fraction is invalid.
    """
    invalid = {name: share for name, share in shares.items() if not 0 <= share <= 1}
    if invalid:
        listed = ", ".join(f"{name} {share}" for name, share in invalid.items())
        raise OptionError(f"The fractions of samples that keep a modality are {listed}. Each must be from 0 to 1.")
    rng = np.random.RandomState(seed)
    table = np.zeros((len(items), len(shares)), dtype=bool)
    for column, share in enumerate(shares.values()):
        table[rng.permutation(len(items))[: round(share * len(items))], column] = True
    result = []
    for item, keeps in zip(items, table, strict=True):
        present = np.array(_to_flags(item["available"]))
        remaining = present & keeps
        if not remaining.any():
            remaining[rng.choice(np.flatnonzero(present))] = True
        result.append({**item, "available": _to_flags(remaining)})
    return result


def select_items_with(items: Sequence[Mapping[str, Any]], modality: int) -> list[dict[str, Any]]:
    """Return the items that have the given modality, to train its expert."""
    return [dict(item) for item in items if _to_flags(item["available"])[modality]]


def _to_flags(available: Any) -> Flags:
    return tuple(bool(flag) for flag in available)
