"""Random availability sets for methods that do not train on nested pairs."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import RandomizableTransform

from brats_mm.data.modality_sampling import draw_subset
from brats_mm.domain.availability import Availability, from_flags, sort_modalities, to_flags
from brats_mm.errors import OptionError, check_choice


def draw_each(rng: np.random.RandomState, available: Availability, drop_prob: float) -> Availability:
    """Drop each modality with probability `drop_prob`. Repeat if none is left."""
    subset: Availability = frozenset()
    while not subset:
        subset = frozenset(modality for modality in sort_modalities(available) if rng.rand() >= drop_prob)
    return subset


def draw_one_dropped(rng: np.random.RandomState, available: Availability) -> Availability:
    """Drop at most one modality, with equal probability for each choice. Never drop the last one."""
    choices = [available, *(available - {modality} for modality in sort_modalities(available) if len(available) > 1)]
    return choices[int(rng.randint(len(choices)))]


SUBSET_SAMPLERS: dict[str, Callable[[np.random.RandomState, Availability, float], Availability]] = {
    "uniform": lambda rng, available, drop_prob: draw_subset(rng, available),
    "each": draw_each,
    "one": lambda rng, available, drop_prob: draw_one_dropped(rng, available),
    "whole": lambda rng, available, drop_prob: available,
}
"""Methods of drawing subsets.

`uniform` draws non-empty subsets with equal probability. `each` drops each modality with `drop_prob`, which equals
`uniform` at 0.5. `one` drops at most one modality. `whole` drops nothing.
"""


class RandSubsetsd(RandomizableTransform):
    """Draw availability sets as `available` (views, m), and keep the original availability as `present` (m,).

    The image is unchanged. Networks mask it by `available`, and MMP needs the masked modalities as targets.

    Args:
        sampler: a key of `SUBSET_SAMPLERS`.
        views: number of sets per crop.
        drop_prob: dropping probability for the sampler `each`, from 0 to below 1.

    Raises:
        OptionError: an argument is unknown or out of range.
    """

    def __init__(self, sampler: str = "uniform", *, views: int = 1, drop_prob: float | int = 0.5) -> None:
        super().__init__()
        check_choice("The subset sampler", sampler, SUBSET_SAMPLERS)
        if views < 1:
            raise OptionError(f"The number of views per crop is {views}. It must be at least 1.")
        if not 0 <= drop_prob < 1:
            raise OptionError(f"drop_prob is {drop_prob}. It must be from 0 to below 1.")
        self.drop_prob = float(drop_prob)
        self.draw = SUBSET_SAMPLERS[sampler]
        self.views = views

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        present = from_flags(data["available"])
        subsets = [to_flags(self.draw(self.R, present, self.drop_prob)) for _ in range(self.views)]
        return {**data, "available": torch.tensor(subsets), "present": torch.tensor(to_flags(present))}
