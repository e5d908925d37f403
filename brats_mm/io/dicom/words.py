"""Read the free text of a series: description, protocol and sequence name, as typed in hospitals of many languages.

The vocabulary and its rules are those of file names (`domain/name_rules.py`).
"""

import re
from dataclasses import dataclass

from brats_mm.domain.modality import Modality
from brats_mm.domain.name_rules import read_name
from brats_mm.domain.name_words import FAT_SATURATED, name_tokens, plain

_T1_FLAIR = re.compile(r"t1w?[\s_-]*(tse|fse|ir|cube|memp)?[\s_-]*flair")
"""An inversion-prepared T1, not a FLAIR."""


@dataclass(frozen=True)
class Words:
    """Meaning of the text.

    Attributes:
        weighting: T1, T2 or FLAIR. None if the text names none or several.
        word: the words that name it.
        contrast: True after contrast, False before, None if unstated or contradictory.
        contrast_word: the words about contrast.
        fat_saturated: whether the text states fat suppression.
    """

    weighting: Modality | None
    word: str = ""
    contrast: bool | None = None
    contrast_word: str = ""
    fat_saturated: bool = False


def read_words(*texts: str) -> Words:
    """Interpret the texts of a series, most reliable first. A text is used only if earlier ones contain no relevant
    word.
    """
    readings = [_read(text) for text in texts if text.strip()]
    weighted = next((reading for reading in readings if reading.weighting), Words(None))
    first = next((reading for reading in readings if reading.contrast is not None), Words(None))
    return Words(
        weighted.weighting,
        weighted.word,
        first.contrast,
        first.contrast_word,
        any(reading.fat_saturated for reading in readings),
    )


def _read(text: str) -> Words:
    reading = read_name(text, is_file=False)
    sequences = {"t1" if name == "t1ce" else name for name in reading.sequences}
    if sequences == {"t1", "flair"} and _T1_FLAIR.search(plain(text)):
        sequences = {"t1"}
    weighting = Modality(sequences.pop()) if len(sequences) == 1 else None
    return Words(
        weighting,
        reading.word if weighting else "",
        reading.contrast,
        reading.contrast_word,
        not FAT_SATURATED.isdisjoint(name_tokens(text)),
    )
