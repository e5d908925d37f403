"""From slices to volumes: a series can hold several, by orientation, echo, kind of image, or time."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from brats_mm.io.dicom.layout import distances_of
from brats_mm.io.dicom.slices import Slice

SAME_PLACE_MM = 0.02
SEVERAL = 4
"""So many volumes in one place are shown one by one; more are a time series, of which the first is shown."""


@dataclass(frozen=True)
class Stack:
    """The slices of one volume.

    Attributes:
        slices: of one orientation, size, echo and kind, no two in the same place.
        repeats: volumes of this kind in the series.
        notes: what was left out.
    """

    slices: tuple[Slice, ...]
    repeats: int = 1
    notes: tuple[str, ...] = ()


def stacks_of(slices: Iterable[Slice]) -> tuple[Stack, ...]:
    """Sort the slices of one series into volumes."""
    groups: list[list[Slice]] = []
    for one in sorted(slices, key=lambda one: (one.number, one.frame)):
        home = next((group for group in groups if _belongs(one, group[0])), None)
        if home is None:
            groups.append([one])
        else:
            home.append(one)
    return tuple(stack for group in groups for stack in _volumes(group))


def _belongs(one: Slice, first: Slice) -> bool:
    same = (one.stored.rows, one.stored.columns, one.image_type) == (
        first.stored.rows,
        first.stored.columns,
        first.image_type,
    )
    return same and _near(one.echo_ms, first.echo_ms, 0.1) and _same_plane(one, first)


def _near(a: float | None, b: float | None, limit: float) -> bool:
    return a == b if a is None or b is None else abs(a - b) <= limit


def _same_plane(one: Slice, first: Slice) -> bool:
    planes = [[*(found.along or ()), *(found.down or ()), *(found.spacing_mm or ())] for found in (one, first)]
    if not (one.is_placed and first.is_placed):  # a slice without geometry must not vanish from its series
        return True
    return bool(np.allclose(planes[0], planes[1], rtol=1e-3, atol=0.01))


def _volumes(slices: list[Slice]) -> list[Stack]:
    if not all(one.is_placed for one in slices) or _most_in_a_place(slices) == 1:
        return [Stack(tuple(slices))]
    for split in _SPLITS:
        parts: dict[object, list[Slice]] = defaultdict(list)
        for one in slices:
            parts[split(one)].append(one)
        if len(parts) > 1 and all(_most_in_a_place(part) == 1 for part in parts.values()):
            return _told_apart(list(parts.values()))
    places = _places(slices)
    counts = {len(place) for place in places}
    if len(counts) == 1:
        return _told_apart([[place[turn] for place in places] for turn in range(counts.pop())])
    doubled = sum(len(place) > 1 for place in places)
    note = f"{doubled} of its slices lie twice or more in the same place; the first of each was used"
    return [Stack(tuple(place[0] for place in places), notes=(note,))]


_SPLITS: tuple[Callable[[Slice], object], ...] = (
    lambda one: one.stack_id,
    lambda one: one.temporal,
    lambda one: one.b_value,
    lambda one: one.acquisition,
    lambda one: one.trigger_ms,
    lambda one: (one.temporal, one.b_value),
    lambda one: one.path if one.stored.frames > 1 else None,
)


def _told_apart(parts: list[list[Slice]]) -> list[Stack]:
    if len(parts) > SEVERAL:
        return [Stack(tuple(parts[0]), repeats=len(parts))]
    return [Stack(tuple(part), repeats=len(parts)) for part in parts]


def _most_in_a_place(slices: Sequence[Slice]) -> int:
    return max(len(place) for place in _places(slices))


def _places(slices: Sequence[Slice]) -> list[list[Slice]]:
    """The slices by where they lie along the normal; those in one place in the order of their numbers."""
    distances = distances_of(slices)
    order = np.argsort(distances, kind="stable")
    places = [[slices[order[0]]]]
    for before, index in pairwise(order):
        if distances[index] - distances[before] <= SAME_PLACE_MM:
            places[-1].append(slices[index])
        else:
            places.append([slices[index]])
    return places
