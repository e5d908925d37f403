"""What the names of a case's files say: which sequence each is, or why it is none. No file is looked at."""

from collections.abc import Sequence
from dataclasses import dataclass

from brats_mm.domain.modality import (
    MODALITIES,
    MSD_CHANNELS,
    Modality,
    is_label_name,
    is_other_image_name,
    modalities_in_name,
    name_tokens,
)

CHANNEL_NUMBERS = tuple(f"{number:04d}" for number in range(len(MSD_CHANNELS)))
"""How names number the channels of a case."""


@dataclass(frozen=True)
class ImageName:
    """A file's name without its suffix, and its sub-folder's name where it lies in one."""

    stem: str
    sub_folder: str = ""


@dataclass(frozen=True)
class Reading:
    """What a name says.

    Attributes:
        modalities: that it speaks of; one where it is clear, none where it says nothing.
        is_label: it says that the file holds labels.
        is_other: it says that the file is another kind of image, or a result.
        number: the channel number (`0000`) that stands for the sequence, where no words do.
    """

    modalities: tuple[Modality, ...] = ()
    is_label: bool = False
    is_other: bool = False
    number: str | None = None

    @property
    def modality(self) -> Modality | None:
        """The sequence, where the file is one and its name is clear in words."""
        clear = len(self.modalities) == 1 and not (self.is_label or self.is_other)
        return self.modalities[0] if clear else None


def read_image_names(names: Sequence[ImageName], folder: str) -> tuple[Reading, ...]:
    """Read the names of a folder's images together.

    What all names (and the folder's name) begin with is the case's name, and does not count if anything is left
    without it: in `T1_study_007_flair` of a folder `T1_study_007`, only `flair` speaks.
    """
    tails = _tails([name_tokens(name.stem) for name in names], name_tokens(folder))
    numbers = _numbers(names, tails)
    return tuple(
        _reading(name, " ".join(tail), number) for name, tail, number in zip(names, tails, numbers, strict=True)
    )


def _reading(name: ImageName, tail: str, number: str | None) -> Reading:
    """The sequences in the part of the name that sets it apart, else in the whole name, else in its sub-folder's."""
    named: tuple[Modality, ...] = ()
    for words in (tail, name.stem, name.sub_folder):
        found = modalities_in_name(words)
        if found:
            named = tuple(modality for modality in MODALITIES if modality in found)
            break
    return Reading(named, is_label_name(tail), is_other_image_name(tail), number)


def _tails(names: list[list[str]], folder: list[str]) -> list[list[str]]:
    """Each name's tokens without the folder's name in front and without what all names have in front."""
    tails = [tokens[len(folder) :] if tokens[: len(folder)] == folder else tokens for tokens in names]
    tails = [tail or tokens for tail, tokens in zip(tails, names, strict=True)]
    if len(tails) < 2:
        return tails
    shared = common_prefix(tails)
    return [tail[shared:] for tail in tails]


def common_prefix(names: Sequence[Sequence[str]]) -> int:
    """How many parts all names have in common from the left."""
    shared = 0
    while all(len(name) > shared for name in names) and len({name[shared] for name in names}) == 1:
        shared += 1
    return shared


def _numbers(names: Sequence[ImageName], tails: list[list[str]]) -> list[str | None]:
    """The channel number of each file named `_0000` to `_0003`, where their names say no sequence in words."""
    last = [(name_tokens(name.stem) or [""])[-1] for name in names]
    numbers = [token if token in CHANNEL_NUMBERS else None for token in last]
    numbered = [name for name, number in zip(names, numbers, strict=True) if number]
    in_words = any(modalities_in_name(name.stem) for name in numbered)
    only_numbers = len(numbered) == len(names) == len(CHANNEL_NUMBERS) and all(tail[-1:] == tail for tail in tails)
    return numbers if not in_words or only_numbers else [None] * len(names)
