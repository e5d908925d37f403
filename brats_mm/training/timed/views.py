"""Draw the subset of its sequences that a crop shows to the network."""

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from brats_mm.networks.split_cross_sequence import choose_expert_name


@dataclass(frozen=True)
class ViewSettings:
    """Frequencies of the subsets.

    Attributes:
        full_share: probability of the largest subset.
        single_share: probability of one sequence.
        expert: expert of a `SplitCrossSequenceExpert`, whose subsets alone are drawn. None draws all subsets.
    """

    full_share: float = 0.3
    single_share: float = 0.15
    expert: str | None = None


def list_subsets(available: Tensor, expert: str | None = None) -> list[tuple[int, ...]]:
    """Return the subsets of a case's channels that an expert handles, the largest last.

    Args:
        available: (m,) booleans of the case.
        expert: expert of a `SplitCrossSequenceExpert`. None returns all subsets.
    """
    present = np.flatnonzero(available.numpy()).tolist()
    every = [subset for size in range(1, len(present) + 1) for subset in itertools.combinations(present, size)]
    return [subset for subset in every if expert in (None, choose_expert_name(subset))]


def draw_subset(available: Tensor, settings: ViewSettings, rng: np.random.Generator) -> Tensor:
    """Draw a subset: the largest, one sequence, or any other uniformly.

    Args:
        available: (m,) booleans of the case, with a subset that the expert handles.
        settings: frequencies of the subsets.
        rng: source of randomness.

    Returns:
        (m,) booleans.
    """
    *smaller, full = list_subsets(available, settings.expert)
    singles = [subset for subset in smaller if len(subset) == 1]
    rest = [subset for subset in smaller if len(subset) > 1]
    share = rng.random()
    if not smaller or share < settings.full_share:
        chosen = full
    else:
        wants_single = share < settings.full_share + settings.single_share
        choices = (singles or rest) if wants_single else (rest or singles)
        chosen = choices[int(rng.integers(len(choices)))]
    drawn = torch.zeros_like(available)
    drawn[list(chosen)] = True
    return drawn
