"""Names of sequences as modalities: which sequence a file name or description names."""

from collections.abc import Sequence
from dataclasses import dataclass

from brats_mm.domain import name_rules, name_words
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.name_rules import NameReading
from brats_mm.domain.name_rules import count_common_parts as count_common_parts  # noqa: PLC0414 (part of this interface)
from brats_mm.domain.name_words import CHANNEL_NUMBERS as CHANNEL_NUMBERS  # noqa: PLC0414
from brats_mm.domain.name_words import split_name_tokens as split_name_tokens  # noqa: PLC0414
from brats_mm.errors import OptionError

MSD_CHANNELS: tuple[Modality, ...] = tuple(map(Modality, name_words.DECATHLON))
"""Channel numbers `_0000` to `_0003` of the Medical Segmentation Decathlon's brain tumour task."""


@dataclass(frozen=True)
class ImageName:
    """Name of a file without its suffix, and name of its subfolder, if any."""

    stem: str
    sub_folder: str = ""


class Reading(NameReading):
    """Meaning of a file name, with its sequences as modalities."""

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The sequences that it names. One if the name is clear, several if it is ambiguous."""
        return tuple(map(Modality, self.sequences))

    @property
    def is_label(self) -> bool:
        """Whether the name marks a label map."""
        return bool(self.label)

    @property
    def is_other(self) -> bool:
        """Whether the name marks another kind of image, or a result."""
        return bool(self.kind)

    @property
    def modality(self) -> Modality | None:
        """The sequence, if the name contains words for exactly one."""
        clear = len(self.modalities) == 1 and not (self.is_label or self.is_other or self.doubt)
        return self.modalities[0] if clear else None


def read_image_names(names: Sequence[ImageName], folder: str) -> tuple[Reading, ...]:
    """Read the names of a folder's images together. See `name_rules.read_names`."""
    readings = name_rules.read_names([(name.stem, name.sub_folder) for name in names], folder)
    return tuple(Reading(**vars(reading)) for reading in readings)


def find_modalities(stem: str) -> set[Modality]:
    """Return the modalities that a name mentions. One if it is clear, none if it names no sequence.

    `T2_FLAIR` is FLAIR. `T1_Gd` and `T1+C` are T1ce, `T1_pre_Gd` and `T1_C-` are T1. `t2_to_t1` gives both.
    """
    return set(map(Modality, name_rules.read_name(stem).sequences))


def is_label_name(stem: str) -> bool:
    """Return whether a file name marks a label map."""
    return bool(name_rules.read_name(stem).label)


def list_names(modality: Modality) -> tuple[str, ...]:
    """Return the words that name a modality on their own."""
    return tuple(sorted(word for word, name in name_words.WEIGHTING.items() if name == modality.value))


def parse_modality(name: str) -> Modality:
    """Parse the user's name of a sequence: `t1`, `t1ce`, `t2`, `flair`, or an alias `t1n`, `t1c`, `t2w`, `t2f`.

    Raises:
        OptionError: the name is unknown.
    """
    weighting = name_words.WEIGHTING.get(str(getattr(name, "value", name)).lower())
    if weighting is None:
        raise OptionError(
            f"Unknown sequence {name!r}. Choose one of {', '.join(modality.value for modality in MODALITIES)}."
        )
    return Modality(weighting)
