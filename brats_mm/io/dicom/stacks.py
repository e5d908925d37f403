"""Sort the slices of a series into volumes: by plane, echo, kind of image, and time."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

import numpy as np

from brats_mm.domain.name_words import KINDS
from brats_mm.io.dicom.exclusions import PROJECTION_TYPES, REFORMAT_TYPES
from brats_mm.io.dicom.layout import UNEVEN_SHARE, compute_distances, order_slices
from brats_mm.io.dicom.slices import Slice

_Item = TypeVar("_Item")

SAME_PLACE_MM = 0.1
"""Slices closer than this have the same position."""
SEVERAL = 4
"""Maximum number of volumes at one position to list separately. Larger numbers are listed as one time series."""
ECHO_STEP_MS = 0.1
"""Echo times closer than this are equal."""
ECHO_SHARE = 0.1
"""Maximum relative difference of echo times within a volume. Scanners round them per slice."""
_APART = {"P", "PHASE", "PHASE MAP", "R", "REAL", "I", "IMAGINARY"}.union(
    PROJECTION_TYPES, REFORMAT_TYPES, *(kind.image_types for kind in KINDS)
)
"""Values of Image Type that separate images even at different positions."""


@dataclass(frozen=True)
class Stack:
    """Slices of one volume.

    Attributes:
        slices: slices of one orientation and size, at different positions.
        repeats: number of volumes of this kind in the series.
        notes: notes on joined and omitted slices.
    """

    slices: tuple[Slice, ...]
    repeats: int = 1
    notes: tuple[str, ...] = ()


def build_stacks(slices: Iterable[Slice]) -> tuple[Stack, ...]:
    """Sort the slices of one series into volumes.

    Slices that differ slightly in echo time, or in Image Type, are one volume if their positions are distinct and
    together form one regular stack.
    """
    planes = _group(sorted(slices, key=lambda item: (item.number, item.frame)), _shares_plane)
    return tuple(stack for plane in planes for stack in _build_stacks_in_plane(plane))


def _build_stacks_in_plane(slices: list[Slice]) -> list[Stack]:
    stacks: list[Stack] = []
    for pieces in _group(_group(slices, _is_alike), _can_join):
        joined = sorted((item for piece in pieces for item in piece), key=lambda item: (item.number, item.frame))
        if len(pieces) == 1:
            stacks += _split_volumes(joined)
        elif _keeps_apart(pieces, joined):
            stacks += [stack for piece in pieces for stack in _split_volumes(piece)]
        else:
            stacks.append(Stack(tuple(joined), notes=(_describe_joining(pieces, joined),)))
    return stacks


def _group(items: Iterable[_Item], belongs: Callable[[_Item, list[_Item]], bool]) -> list[list[_Item]]:
    """Add each item to the first group that it belongs to, or to a new one."""
    groups: list[list[_Item]] = []
    for item in items:
        home = next((group for group in groups if belongs(item, group)), None)
        if home is None:
            groups.append([item])
        else:
            home.append(item)
    return groups


def _shares_plane(item: Slice, group: list[Slice]) -> bool:
    first = group[0]
    same_size = (item.stored.rows, item.stored.columns) == (first.stored.rows, first.stored.columns)
    if not (item.is_placed and first.is_placed):  # keep slices without geometry in their series
        return same_size
    planes = [[*(header.along or ()), *(header.down or ()), *(header.spacing_mm or ())] for header in (item, first)]
    return same_size and bool(np.allclose(planes[0], planes[1], rtol=1e-3, atol=0.01))


def _is_alike(item: Slice, group: list[Slice]) -> bool:
    a, b = item.echo_ms, group[0].echo_ms
    same_echo = a == b if a is None or b is None else abs(a - b) <= ECHO_STEP_MS
    return item.image_type == group[0].image_type and same_echo


def _can_join(piece: list[Slice], group: list[list[Slice]]) -> bool:
    """Return whether pieces can be parts of one volume: similar, and without two slices at one position."""
    joined = [*piece, *(item for part in group for item in part)]
    alike = all(_is_similar(piece[0], part[0]) for part in group)
    return alike and all(item.is_placed for item in joined) and _count_most_at_position(joined) == 1


def _is_similar(a: Slice, b: Slice) -> bool:
    if _APART.intersection(a.image_type) != _APART.intersection(b.image_type):
        return False
    if a.echo_ms is None or b.echo_ms is None:
        return True
    return abs(a.echo_ms - b.echo_ms) <= ECHO_SHARE * max(a.echo_ms, b.echo_ms)


def _keeps_apart(pieces: list[list[Slice]], joined: list[Slice]) -> bool:
    """Return whether the largest piece is a complete volume, and the others lie between or beside its slices.

    A piece with every second or third slice of the whole does not count, because it would pass for a volume of thicker
    slices.
    """
    if not order_slices(joined).fault:
        return False
    largest = max(pieces, key=len)
    layout = order_slices(largest)
    if layout.fault or len(largest) < 2:
        return False
    step_mm = float(np.median(np.diff(np.sort(compute_distances(largest)))))
    whole_mm = float(np.median(np.diff(np.sort(compute_distances(joined)))))
    return abs(step_mm - whole_mm) <= UNEVEN_SHARE * whole_mm


def _describe_joining(pieces: list[list[Slice]], joined: list[Slice]) -> str:
    echoes = sorted({item.echo_ms for item in joined if item.echo_ms is not None})
    differ = []
    if len(echoes) > 1:
        differ.append(f"echo time ({echoes[0]:g} to {echoes[-1]:g} ms)")
    if len({piece[0].image_type for piece in pieces}) > 1:
        differ.append("image type")
    return f"its {len(joined)} slices differ in {' and '.join(differ) or 'echo time'} and are used as one volume"


def _split_volumes(slices: list[Slice]) -> list[Stack]:
    if not all(item.is_placed for item in slices) or _count_most_at_position(slices) == 1:
        return [Stack(tuple(slices))]
    for split in _SPLITS:
        parts: dict[object, list[Slice]] = defaultdict(list)
        for item in slices:
            parts[split(item)].append(item)
        if len(parts) > 1 and all(_count_most_at_position(part) == 1 for part in parts.values()):
            return _separate_volumes(list(parts.values()))
    positions = _group_by_position(slices)
    counts = {len(position) for position in positions}
    if len(counts) == 1:
        return _separate_volumes([[position[turn] for position in positions] for turn in range(counts.pop())])
    doubled = sum(len(position) > 1 for position in positions)
    note = f"{doubled} of its slices have the same position as another one, and only the first of each was used"
    return [Stack(tuple(position[0] for position in positions), notes=(note,))]


_SPLITS: tuple[Callable[[Slice], object], ...] = (
    lambda item: item.stack_id,
    lambda item: item.temporal,
    lambda item: item.b_value,
    lambda item: item.acquisition,
    lambda item: item.trigger_ms,
    lambda item: (item.temporal, item.b_value),
    lambda item: item.path if item.stored.frames > 1 else None,
)


def _separate_volumes(parts: list[list[Slice]]) -> list[Stack]:
    stacks = [Stack(tuple(part), repeats=len(parts)) for part in parts]
    if len(parts) <= SEVERAL:
        return stacks
    return [replace(stacks[0], notes=(f"the first of {len(parts)} volumes at one position",))]


def _count_most_at_position(slices: Sequence[Slice]) -> int:
    return max(len(position) for position in _group_by_position(slices))


def _group_by_position(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Group slices by position along the normal. Slices at one position keep the order of their numbers."""
    distances = compute_distances(slices)
    order = np.argsort(distances, kind="stable")
    positions = [[slices[order[0]]]]
    for before, index in pairwise(order):
        if distances[index] - distances[before] <= SAME_PLACE_MM:
            positions[-1].append(slices[index])
        else:
            positions.append([slices[index]])
    return positions
