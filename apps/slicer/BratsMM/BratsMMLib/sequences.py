"""The four MR sequences, and recognition of sequences by volume name.

Slicer's Python has no `brats_mm`, so `name_rules.py`, `name_words.py` and `sequence_words.json` are copies of the
files in `brats_mm/domain`. A test compares them byte by byte.
"""

from __future__ import annotations

from collections.abc import Sequence as Several
from dataclasses import dataclass
from enum import Enum

from BratsMMLib import name_rules, name_words
from BratsMMLib.name_rules import NameReading


class Sequence(str, Enum):
    """An MR sequence of a brain tumour protocol, in the order of the model's channels."""

    T1 = "t1"
    T1CE = "t1ce"
    T2 = "t2"
    FLAIR = "flair"

    @property
    def label(self) -> str:
        """Usual spelling."""
        return {"t1": "T1", "t1ce": "T1ce", "t2": "T2", "flair": "FLAIR"}[self.value]


SEQUENCES: tuple[Sequence, ...] = tuple(Sequence)
DECATHLON: tuple[Sequence, ...] = tuple(map(Sequence, name_words.DECATHLON))
"""Channel numbers `_0000` to `_0003` of the Medical Segmentation Decathlon's brain tumour task."""
NUMBERS = name_words.CHANNEL_NUMBERS


@dataclass(frozen=True)
class Reading:
    """Meaning of a name.

    Attributes:
        sequences: the sequences that it names. One if the name is clear, several if it is ambiguous.
        contrast: True after contrast, False before, None if unstated.
        is_label: whether the name marks a label map.
        is_other: whether the name marks another kind of image or a result.
        copy: the word that marks a derived copy, such as `annotated`, or empty.
        doubt: what the name may mean other than a sequence, such as `a real part`, or empty.
        number: the channel number that identifies the sequence if no words do.
    """

    sequences: tuple[Sequence, ...] = ()
    contrast: bool | None = None
    is_label: bool = False
    is_other: bool = False
    copy: str = ""
    doubt: str = ""
    number: str | None = None


def read_names(names: Several[str]) -> list[Reading]:
    """Read names together. Their common prefix is the case's name, and counts only if nothing else names a sequence."""
    return [_reading(reading) for reading in name_rules.read_names([(name, "") for name in names])]


def read_description(text: str) -> Reading:
    """Read a DICOM description or protocol name."""
    return _reading(name_rules.read_name(text, is_file=False))


def _reading(reading: NameReading) -> Reading:
    sequences = tuple(map(Sequence, reading.sequences))
    return Reading(
        sequences,
        reading.contrast,
        bool(reading.label),
        bool(reading.kind),
        reading.copy,
        reading.doubt,
        reading.number or None,
    )
