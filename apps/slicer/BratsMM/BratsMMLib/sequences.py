"""The four MR sequences, and the names they go by; the same rules as the package `brats_mm`, which Slicer has not got.

A test compares the two, name by name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence as Several
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise


class Sequence(str, Enum):
    """An MR sequence of a brain tumour protocol, in the order of the model's channels."""

    T1 = "t1"
    T1CE = "t1ce"
    T2 = "t2"
    FLAIR = "flair"

    @property
    def label(self) -> str:
        """The name as people write it."""
        return {"t1": "T1", "t1ce": "T1ce", "t2": "T2", "flair": "FLAIR"}[self.value]


SEQUENCES: tuple[Sequence, ...] = tuple(Sequence)

ALIASES: dict[str, Sequence] = {
    **dict.fromkeys(("t1", "t1n", "t1w", "t1wi", "t1pre", "t1native", "unstrippedt1"), Sequence.T1),
    **dict.fromkeys(
        ("t1ce", "t1c", "t1gd", "t1gad", "t1post", "t1cew", "t1wce", "t1wc", "t1km", "ct1", "t1contrast"), Sequence.T1CE
    ),
    **dict.fromkeys(("t2", "t2w", "t2wi"), Sequence.T2),
    **dict.fromkeys(("flair", "t2f", "t2flair", "fla", "flr", "tirm"), Sequence.FLAIR),
}
CONTRAST = frozenset({"gd", "gad", "gado", "gadolinium", "ce", "contrast", "post", "postcontrast", "km"})
NATIVE = frozenset({"pre", "precontrast", "noncontrast", "native", "unenhanced", "plain", "no", "non", "without", "wo"})
LABELS = frozenset(
    {"seg", "segm", "segmentation", "label", "labels", "mask", "brainmask", "ot", "gt", "segauto", "autosegm", "pred"}
)
OTHERS = frozenset(
    {"adc", "dwi", "dti", "swi", "swan", "asl", "dsc", "dce", "cbv", "rcbv", "cbf", "perfusion", "bold", "tof", "mra"}
    | {"star", "t2star", "subtraction", "entropy", "importance", "probability", "uncertainty"}
)
DECATHLON = (Sequence.FLAIR, Sequence.T1, Sequence.T1CE, Sequence.T2)
"""Channel numbers `_0000` to `_0003` of the Medical Segmentation Decathlon's brain tumour task."""
NUMBERS = tuple(f"{number:04d}" for number in range(len(DECATHLON)))

_TOKEN = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True)
class Reading:
    """What a name says.

    Attributes:
        sequences: that it speaks of; one where it is clear, none where it says nothing.
        words: the part of the name that was read.
        is_label: it says that the volume holds labels.
        is_other: it says that the volume is another kind of image, or a result.
        number: the channel number that stands for the sequence, where no words do.
    """

    sequences: tuple[Sequence, ...] = ()
    words: str = ""
    is_label: bool = False
    is_other: bool = False
    number: str | None = None


def tokens(name: str) -> list[str]:
    """Lower-case alphanumeric runs of a name."""
    return _TOKEN.findall(name.lower())


def sequences_in(name: str) -> tuple[Sequence, ...]:
    """The sequences that a name speaks of: `T2_FLAIR` is FLAIR, `T1_Gd` is T1ce, `T1_pre_Gd` is T1."""
    words = tokens(name)
    named = {ALIASES[word] for word in words if word in ALIASES}
    if Sequence.FLAIR in named:
        named.discard(Sequence.T2)
    contrast = CONTRAST.intersection(words) or ("t1", "c") in pairwise(words)
    if Sequence.T1 in named and contrast and not NATIVE.intersection(words):
        named = (named - {Sequence.T1}) | {Sequence.T1CE}
    return tuple(one for one in SEQUENCES if one in named)


def read_names(names: Several[str]) -> list[Reading]:
    """Read names together: what all of them begin with is the case's name, and does not count if anything is left."""
    parts = [tokens(name) for name in names]
    shared = _shared(parts) if len(parts) > 1 else 0
    tails = [one[shared:] for one in parts]
    numbers = _numbers(names, parts, tails)
    return [_reading(*one) for one in zip(names, tails, numbers, strict=True)]


def _reading(name: str, tail: list[str], number: str | None) -> Reading:
    words = " ".join(tail)
    read = words if sequences_in(words) else name
    return Reading(sequences_in(read), read, _any(tail, LABELS), _any(tail, OTHERS), number)


def _any(words: list[str], known: frozenset[str]) -> bool:
    return not known.isdisjoint(words)


def _shared(names: Several[Several[str]]) -> int:
    count = 0
    while all(len(name) > count for name in names) and len({name[count] for name in names}) == 1:
        count += 1
    return count


def _numbers(names: Several[str], parts: list[list[str]], tails: list[list[str]]) -> list[str | None]:
    """The channel number of each volume named `_0000` to `_0003`, where their names say no sequence in words."""
    last = [(one or [""])[-1] for one in parts]
    numbers = [word if word in NUMBERS else None for word in last]
    numbered = [name for name, number in zip(names, numbers, strict=True) if number]
    in_words = any(sequences_in(name) for name in numbered)
    only = len(numbered) == len(names) == len(NUMBERS) and all(tail[-1:] == tail for tail in tails)
    return numbers if not in_words or only else [None] * len(names)
