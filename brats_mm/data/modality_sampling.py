"""Drop sequences at random in training, so that the network learns to handle missing ones.

Sets are drawn from the sequences that a case has, so cases with three sequences can be used too. Images are unchanged.
Networks mask them by the drawn sets.
"""

from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from monai.transforms import RandomizableTransform, Transform

from brats_mm.domain.availability import ALL_AVAILABLE, NESTED_PAIRS, SUBSETS, Availability, from_flags, to_flags
from brats_mm.errors import OptionError, check_choice

Pair = tuple[Availability, Availability]
"""(more, fewer): the second is a proper subset of the first."""


@lru_cache(maxsize=len(SUBSETS))
def list_subsets(available: Availability) -> tuple[Availability, ...]:
    """Return the non-empty subsets of the available modalities, smallest first."""
    return tuple(subset for subset in SUBSETS if subset <= available)


@lru_cache(maxsize=len(SUBSETS))
def list_accepted_draws(available: Availability) -> tuple[Pair, ...]:
    """Return all equally likely outcomes of SimMLM's sampling as pairs (more, fewer), one per accepted draw.

    Two sets are drawn uniformly and independently. A draw is accepted if one set strictly contains the other and the
    first one is not complete. So a pair counts twice, once per order of drawing, unless its larger set is complete.
    Source: the released code. Four sequences have 86 accepted draws.
    """
    sets = list_subsets(available)
    pairs = [
        (first, second)
        for first in sets
        for second in sets
        if first != available and (first < second or second < first)
    ]
    return tuple((max(draw, key=len), min(draw, key=len)) for draw in pairs)


@lru_cache(maxsize=len(SUBSETS))
def list_nested_pairs(available: Availability) -> tuple[Pair, ...]:
    """Return all nested pairs once. Four sequences have 50."""
    return tuple((more, fewer) for more, fewer in NESTED_PAIRS if more <= available)


PAIR_SAMPLERS: dict[str, Callable[[Availability], tuple[Pair, ...]]] = {
    "released": list_accepted_draws,
    "uniform": list_nested_pairs,
}
"""`released` is SimMLM's rejection rule. `uniform` draws all nested pairs with equal probability."""


def draw_subset(rng: np.random.RandomState, available: Availability = ALL_AVAILABLE) -> Availability:
    """Draw a non-empty subset uniformly."""
    choices = list_subsets(available)
    return choices[int(rng.randint(len(choices)))]


def draw_pair(
    rng: np.random.RandomState, available: Availability = ALL_AVAILABLE, *, sampler: str = "released"
) -> Pair:
    """Draw two nested sets (more, fewer). With a single available sequence, both are the whole set.

    Args:
        rng: source of randomness.
        available: modalities of the case.
        sampler: a key of `PAIR_SAMPLERS`.
    """
    choices = PAIR_SAMPLERS[sampler](available) or ((available, available),)
    return choices[int(rng.randint(len(choices)))]


class RandPairOfSubsetsd(RandomizableTransform):
    """Draw the availability sets of MoFe pairs: adds `more` and `fewer`, (pairs, m) booleans.

    The image is unchanged. The network mixes the views (`training.iteration.PairBatch`).

    Args:
        sampler: a key of `PAIR_SAMPLERS`.
        pairs: number of pairs per crop. SimMLM uses one. Further pairs cost little, because views share the experts'
            passes.

    Raises:
        OptionError: the sampler is unknown, or `pairs` is less than 1.
    """

    def __init__(self, sampler: str = "released", *, pairs: int = 1) -> None:
        super().__init__()
        check_choice("The pair sampler", sampler, PAIR_SAMPLERS)
        if pairs < 1:
            raise OptionError(f"The number of pairs per crop is {pairs}. It must be at least 1.")
        self.sampler = sampler
        self.pairs = pairs

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        available = from_flags(data["available"])
        pairs_drawn = [draw_pair(self.R, available, sampler=self.sampler) for _ in range(self.pairs)]
        more, fewer = (torch.tensor([to_flags(pair[side]) for pair in pairs_drawn]) for side in (0, 1))
        return {**data, "more": more, "fewer": fewer}


class RandSubsetd(RandomizableTransform):
    """Draw one availability set of a case: `available` becomes (1, m) booleans.

    The image is unchanged. The network masks it (`training.iteration.MixtureBatch`).

    Args:
        full_share: probability of all sequences of the case.
        single_share: probability of one sequence. Otherwise, any other subset is drawn uniformly.

    Raises:
        OptionError: the probabilities are not shares of 1.
    """

    def __init__(self, *, full_share: float | int = 0.3, single_share: float | int = 0.15) -> None:
        super().__init__()
        if min(full_share, single_share) < 0 or full_share + single_share > 1:
            raise OptionError(
                f"full_share is {full_share:g} and single_share is {single_share:g}. Use values from 0 that add up to "
                "at most 1."
            )
        self.full_share = full_share
        self.single_share = single_share

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        available = from_flags(data["available"])
        return {**data, "available": torch.tensor([to_flags(self._draw(available))])}

    def _draw(self, available: Availability) -> Availability:
        draw = float(self.R.rand())
        if len(available) == 1 or draw < self.full_share:
            return available
        is_single = draw < self.full_share + self.single_share or len(available) == 2
        smaller = [subset for subset in list_subsets(available) if subset != available]
        choices = [subset for subset in smaller if (len(subset) == 1) == is_single]
        return choices[int(self.R.randint(len(choices)))]


class EverySubsetd(Transform):
    """Show a case under each of the 15 availability sets, to validate a mixture (SimMLM, section 4).

    `available` becomes (15, m). A set with a sequence that the case lacks is replaced by a subset of its sequences, so
    that every case counts 15 times.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        choices = list_subsets(from_flags(data["available"]))
        subsets = [choices[index % len(choices)] for index in range(len(SUBSETS))]
        return {**data, "available": torch.tensor([to_flags(subset) for subset in subsets])}
