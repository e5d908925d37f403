"""The 15 non-empty subsets of the four sequences, and their nested pairs."""

from collections.abc import Iterable
from itertools import combinations

from brats_mm.domain.modality import MODALITIES, Modality

Availability = frozenset[Modality]
"""The available modalities of a case. Determined once and passed explicitly."""

ALL_AVAILABLE: Availability = frozenset(MODALITIES)

SUBSETS: tuple[Availability, ...] = tuple(
    frozenset(subset) for size in range(1, len(MODALITIES) + 1) for subset in combinations(MODALITIES, size)
)
"""The 15 non-empty subsets, single sequences first, all four last."""

NESTED_PAIRS: tuple[tuple[Availability, Availability], ...] = tuple(
    (more, fewer) for more in SUBSETS for fewer in SUBSETS if fewer < more
)
"""The 50 pairs (more, fewer) in which the second is a proper subset of the first."""


def sort_modalities(available: Iterable[Modality]) -> tuple[Modality, ...]:
    """Sort modalities in channel order."""
    members = set(available)
    return tuple(modality for modality in MODALITIES if modality in members)


def to_flags(available: Availability) -> tuple[bool, ...]:
    """Return one boolean per channel."""
    return tuple(modality in available for modality in MODALITIES)


def from_flags(channels: Iterable[object]) -> Availability:
    """Return the modalities whose channel has a true flag."""
    return frozenset(modality for modality, flag in zip(MODALITIES, channels, strict=True) if flag)


def format_subset(available: Iterable[Modality]) -> str:
    """Return the name of a subset, such as `t1ce+flair`."""
    return "+".join(modality.value for modality in sort_modalities(available))


def describe(available: Iterable[Modality]) -> str:
    """Format a set as `T1ce, FLAIR`, or `none`."""
    return ", ".join(modality.label for modality in sort_modalities(available)) or "none"


SUBSET_OF = {format_subset(subset): subset for subset in SUBSETS}
"""Subset by name."""
