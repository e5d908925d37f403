"""A dataset that shows each case once for every set of sequences it could have come with."""

from collections.abc import Callable, Sequence
from typing import Any

from monai.data import CacheDataset
from torch import tensor
from torch.utils.data import Dataset

from brats_mm.data.modality_sampling import as_set, keep, subsets_of
from brats_mm.domain.availability import SUBSETS, flags


class EverySubset(Dataset[dict[str, Any]]):
    """Each case under each of the 15 availability sets: what a mixture is validated on (SimMLM, section 4).

    A set that asks for a sequence which the case lacks is replaced by one of those that it can show, so that every
    case counts 15 times.

    Args:
        data: items, see `datalist.Item`.
        transform: from an item to a mapping with `image` and `available`; must draw nothing, since it is cached.
        cache_rate: share of the cases kept in memory, 0 to 1.
    """

    def __init__(
        self, data: Sequence[Any], transform: Callable[[Any], dict[str, Any]], *, cache_rate: float = 1.0
    ) -> None:
        self.cases = CacheDataset(data, transform, cache_rate=cache_rate, progress=False)

    def __len__(self) -> int:
        return len(self.cases) * len(SUBSETS)

    def __getitem__(self, index: int) -> dict[str, Any]:
        case = self.cases[index // len(SUBSETS)]
        choices = subsets_of(as_set(case["available"]))
        subset = choices[index % len(SUBSETS) % len(choices)]
        return {**case, "image": keep(case["image"], subset), "available": tensor(flags(subset))}
