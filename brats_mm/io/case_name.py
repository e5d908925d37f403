"""Name a case after its files."""

import os
import re
from pathlib import Path
from unicodedata import normalize

from brats_mm.domain.name_words import simplify
from brats_mm.domain.sequence_names import count_common_parts, find_modalities
from brats_mm.io.suffixes import strip_image_suffix

_WORD = re.compile(r"[^\W_]+")
"""A run of letters and digits of any script."""


def find_common_name(paths: list[Path]) -> str:
    """Return the common part of the names without words for sequences, or the name of the first file's folder."""
    stems = [normalize("NFC", strip_image_suffix(path.name)) for path in paths]
    words = [[simplify(word) for word in _WORD.findall(stem)] for stem in stems]
    if len(words) > 1:
        count = count_common_parts(words)
    else:
        count = len(words[0]) - bool(words[0] and find_modalities(words[0][-1]))
    ends = [word.end() for word in _WORD.finditer(stems[0])]
    shared = stems[0][: ends[count - 1]] if count else ""
    return shared or Path(os.path.realpath(paths[0])).parent.name or "case"
