"""One availability set a view, for methods that train on sets of their own and not on nested pairs."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import RandomizableTransform

from brats_mm.data.modality_sampling import as_set, draw_subset
from brats_mm.domain.availability import Availability, flags, ordered
from brats_mm.errors import OptionError


def draw_each(rng: np.random.RandomState, available: Availability, drop_prob: float) -> Availability:
    """Drop each modality by itself with a chance; a draw that leaves none is drawn again."""
    kept: Availability = frozenset()
    while not kept:
        kept = frozenset(modality for modality in ordered(available) if rng.rand() >= drop_prob)
    return kept


def draw_one_dropped(rng: np.random.RandomState, available: Availability) -> Availability:
    """Drop nothing or one modality, with the same chance for each of these; the last one stays."""
    choices = [available, *(available - {modality} for modality in ordered(available) if len(available) > 1)]
    return choices[int(rng.randint(len(choices)))]


SUBSET_SAMPLERS: dict[str, Callable[[np.random.RandomState, Availability, float], Availability]] = {
    "uniform": lambda rng, available, drop_prob: draw_subset(rng, available),
    "each": draw_each,
    "one": lambda rng, available, drop_prob: draw_one_dropped(rng, available),
    "whole": lambda rng, available, drop_prob: available,
}
"""`uniform`: each non-empty subset with the same chance; `each`: every modality dropped by itself with `drop_prob`, at
one half the same distribution; `one`: at most one modality dropped; `whole`: nothing dropped."""


class RandSubsetsd(RandomizableTransform):
    """Draw the availability sets of views: makes `available` (views, m), and keeps what was there as `present` (m,).

    The image is left whole: a network takes what is shown from `available`, and MMP needs what is hidden as its target.

    Args:
        sampler: a key of `SUBSET_SAMPLERS`.
        views: how many a crop.
        drop_prob: chance of a modality to be dropped, for the sampler `each`; from 0 to below 1.

    Raises:
        OptionError: there is no such sampler, no view is asked for, or everything would always be dropped.
    """

    def __init__(self, sampler: str = "uniform", *, views: int = 1, drop_prob: float | int = 0.5) -> None:
        super().__init__()
        if sampler not in SUBSET_SAMPLERS:
            message = f"The subset sampler is {sampler!r}; it must be one of {', '.join(SUBSET_SAMPLERS)}."
            raise OptionError(message)
        if views < 1:
            message = f"The number of views a crop is {views}; it must be 1 or more."
            raise OptionError(message)
        if not 0 <= drop_prob < 1:
            message = f"drop_prob is {drop_prob}; it must be from 0 to below 1."
            raise OptionError(message)
        self.drop_prob = float(drop_prob)
        self.draw = SUBSET_SAMPLERS[sampler]
        self.views = views

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        present = as_set(data["available"])
        drawn = [flags(self.draw(self.R, present, self.drop_prob)) for _ in range(self.views)]
        return {**data, "available": torch.tensor(drawn), "present": torch.tensor(flags(present))}
