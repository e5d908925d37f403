"""Groups of subsets of sequences over which scores are averaged."""

from collections.abc import Mapping

from brats_mm.domain.availability import ALL_AVAILABLE, SUBSETS, Availability, describe, format_subset
from brats_mm.domain.modality import Modality

GROUPS: Mapping[str, tuple[Availability, ...]] = {
    "all_sets": SUBSETS,
    "full_set": (ALL_AVAILABLE,),
    "single_sequences": tuple(subset for subset in SUBSETS if len(subset) == 1),
    "with_t1ce": tuple(subset for subset in SUBSETS if Modality.T1CE in subset),
    "without_t1ce": tuple(subset for subset in SUBSETS if Modality.T1CE not in subset),
}
"""Groups of subsets, by key."""

GROUP_NAMES: Mapping[str, str] = {
    "all_sets": "all subsets",
    "full_set": "all four sequences",
    "single_sequences": "single sequences",
    "with_t1ce": "subsets with T1ce",
    "without_t1ce": "subsets without T1ce",
}

ALL_GROUPS: Mapping[str, tuple[Availability, ...]] = {
    **GROUPS,
    **{format_subset(subset): (subset,) for subset in SUBSETS},
}
"""Groups of subsets and single subsets, by key."""

NAMES: Mapping[str, str] = {**{format_subset(subset): describe(subset) for subset in SUBSETS}, **GROUP_NAMES}
"""Names of the keys of `ALL_GROUPS`."""
