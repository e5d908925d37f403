"""Name a case after its files."""

from pathlib import Path

from brats_mm.domain.sequence_names import common_prefix, modalities_in_name, name_tokens
from brats_mm.io.suffixes import image_stem


def common_name(paths: list[Path]) -> str:
    """Return the common part of the names without words for sequences, or the name of the first file's folder."""
    stems = [image_stem(path.name) for path in paths]
    shared = stems[0]
    if len(stems) > 1:
        tokens = [name_tokens(stem) for stem in stems]
        shared = _first_tokens(stems[0], common_prefix(tokens))
    elif (tail_words := name_tokens(shared)) and modalities_in_name(tail_words[-1]):
        shared = _first_tokens(shared, len(tail_words) - 1)
    return shared or paths[0].resolve().parent.name or "case"


def _first_tokens(stem: str, count: int) -> str:
    """Return a name up to the end of its first `count` tokens, as spelled."""
    end, position = 0, 0
    for token in name_tokens(stem)[:count]:
        position = stem.lower().index(token, position) + len(token)
        end = position
    return stem[:end]
