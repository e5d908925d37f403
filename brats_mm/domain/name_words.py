"""Vocabulary of sequence names, and functions that split names into words: contrast signs, compounds, time points.

See `name_rules.py`, which reads these words. The 3D Slicer module carries a copy of this file.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VOCABULARY: Mapping[str, Any] = json.loads(Path(__file__).with_name("sequence_words.json").read_text("utf-8"))
"""The stored vocabulary. Lists are separated by spaces."""


def list_words(*keys: str) -> tuple[str, ...]:
    """Return a word list of the vocabulary, given its path, for example `("weighting", "t1")`."""
    entry: Any = VOCABULARY
    for key in keys:
        entry = entry[key]
    return tuple(entry.split())


def make_word_set(*keys: str) -> frozenset[str]:
    """Return a word list of the vocabulary as a set."""
    return frozenset(list_words(*keys))


ORDER = list_words("order")
"""Sequence names in channel order: t1, t1ce, t2, flair."""
WEIGHTING = {word: name for name in ORDER for word in list_words("weighting", name)}
"""Word -> sequence, for words that name a sequence by themselves."""
DECATHLON = list_words("decathlon")
"""Sequence of each channel number in the brain tumour task of the Medical Segmentation Decathlon."""
CHANNEL_NUMBERS = tuple(f"{number:04d}" for number in range(len(DECATHLON)))
"""Channel numbers as spelled in file names."""
LABELS, FAT_SATURATED, ANNOTATED = make_word_set("labels"), make_word_set("fat_saturated"), make_word_set("annotated")
CONTRAST, NATIVE = make_word_set("contrast"), make_word_set("native")

AFTER, BEFORE, NEGATION = make_word_set("after"), make_word_set("before"), make_word_set("negation")
_NOT_A_TIME = make_word_set("not_a_time")
_TIME_WORDS, _TIME_UNITS = make_word_set("time_words"), make_word_set("time_units")
_TIME_PREFIXES = AFTER | BEFORE | make_word_set("time_before")
_SIGN_WORDS = make_word_set("sign_words")
_PLUS_WORDS = _SIGN_WORDS | make_word_set("plus_words")
ALONE: Mapping[str, str] = VOCABULARY["alone"]
"""Sequence by word, for words that count only if nothing else names one."""
_REWRITES = tuple((re.compile(pattern), text) for pattern, text in VOCABULARY["rewrites"])
_PIECES = (
    frozenset(WEIGHTING) | CONTRAST | NATIVE | AFTER | BEFORE | _TIME_WORDS | make_word_set("neutral") | set(ALONE)
)
_BIDS_DROPPED, _BIDS_NO_CONTRAST = make_word_set("bids", "dropped"), make_word_set("bids", "no_contrast")
_BIDS_MARKER = re.compile(rf"(?:^|_)(?:{'|'.join(list_words('bids', 'marker'))})-[a-z0-9]+(?:_|$)")
_BIDS_CONTRAST = list_words("bids", "contrast")
_TOKEN = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True)
class Kind:
    """A kind of image other than the four sequences.

    Attributes:
        name: description of the kind, for example `ADC map`.
        words, patterns: words that name it, and patterns of several words, surrounded by spaces.
        image_types: values of DICOM's Image Type that denote it.
        names_only: the rule applies to file names only. For DICOM, other header fields decide.
        as_prefix: in the common prefix of all names, it makes them ambiguous. Other kinds can name a cohort there.
    """

    name: str
    words: frozenset[str]
    patterns: tuple[re.Pattern[str], ...]
    image_types: frozenset[str]
    names_only: bool
    as_prefix: bool


def _list_kinds(key: str) -> tuple[Kind, ...]:
    return tuple(
        Kind(
            entry["name"],
            frozenset(entry["words"].split()),
            tuple(re.compile(pattern) for pattern in entry["patterns"]),
            frozenset(entry.get("image_types", "").split()),
            bool(entry.get("names_only")),
            bool(entry.get("as_prefix")),
        )
        for entry in VOCABULARY[key]
    )


KINDS = _list_kinds("kinds")
DOUBTS = _list_kinds("doubts")
"""Kinds of image that a file name may mean, such as `T1_real`."""
_KNOWN = (
    _PIECES
    | LABELS
    | NEGATION
    | make_word_set("copies")
    | FAT_SATURATED
    | frozenset(word for kind in (*KINDS, *DOUBTS) for word in kind.words)
    | make_word_set("time_before")
)


@dataclass(frozen=True)
class Word:
    """A run of letters and digits of a name.

    Attributes:
        text: lower case, without accents.
        sign: `+` or `-` if attached with the meaning of contrast or no contrast, as in `C+` or `-Gd`.
        dashed: whether a hyphen joins the word to the previous one.
    """

    text: str
    sign: str = ""
    dashed: bool = False


def simplify(text: str) -> str:
    """Return text in lower case, without accents."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    unaccented = "".join(letter for letter in folded if not unicodedata.combining(letter)).replace("ı", "i")
    return unicodedata.normalize("NFC", unaccented)  # Korean syllables as written, not as letters


def split_name_tokens(text: str) -> list[str]:
    """Return the runs of letters and digits of a name, in lower case and without accents."""
    return _TOKEN.findall(simplify(text))


def split_words(text: str) -> list[Word]:
    """Split a name into words. Rewrites abbreviations such as `w/o` and CJK, and keeps signs that denote contrast."""
    folded = simplify(text)
    for pattern, instead in _REWRITES:
        folded = pattern.sub(instead, folded)
    return [_make_word(folded, *match.span()) for match in _TOKEN.finditer(folded)]


def _make_word(text: str, start: int, end: int) -> Word:
    word, before, after = text[start:end], text[:start], text[end:]
    sign = ""
    if (word in _SIGN_WORDS and before.rstrip(" ").endswith("+")) or (
        word in _PLUS_WORDS and after[:1] == "+" and not after[1:2].isalnum()
    ):
        sign = "+"
    elif word in _SIGN_WORDS and (
        (before[-1:] == "-" and before[-2:-1] in ("", *" _.([{,"))
        or (after[:1] == "-" and after[1:2] in ("", *" _.)]},"))
    ):
        sign = "-"
    return Word(word, sign, before[-1:] == "-")


def remove_entities(stem: str) -> str:
    """Remove the entities from a BIDS name. Values of `acq-`, `rec-` and `desc-` are kept, and `ce-` becomes a word.

    Names without `sub-` or `ses-` are returned unchanged.
    """
    folded = stem.lower()
    if not _BIDS_MARKER.search(folded):
        return stem
    remaining = []
    for part in folded.split("_"):
        key, dash, value = part.partition("-")
        if dash and key in _BIDS_CONTRAST:
            remaining.append("native" if value in _BIDS_NO_CONTRAST else "contrast")
        elif not (dash and key in _BIDS_DROPPED):
            remaining.append(value if dash and key in ("acq", "rec", "desc") else part)
    return "_".join(remaining)


def expand_words(tokens: Iterable[Word]) -> list[Word]:
    """Split unknown words that consist of known words and name a sequence, such as `axt1postgd` and `t2flair`."""
    result: list[Word] = []
    for token in tokens:
        pieces = [] if token.text in _KNOWN else _split_into_known(token.text)
        if any(piece in WEIGHTING for piece in pieces):
            result += [Word(piece) for piece in pieces[:-1]] + [Word(pieces[-1], token.sign)]
        else:
            result.append(token)
    return result


def _split_into_known(text: str) -> list[str]:
    """Split a text into known words, longest first. Empty if that is impossible."""
    if not text:
        return []
    for length in range(len(text), 1, -1):
        if text[:length] in _PIECES:
            remaining = _split_into_known(text[length:])
            if remaining or length == len(text):
                return [text[:length], *remaining]
    return []


def remove_time_points(tokens: Sequence[Word]) -> list[Word]:
    """Remove time points: `post-op`, `preop`, `post RT`, `post 3 months`."""
    remaining: list[Word] = []
    index = 0
    while index < len(tokens):
        text = tokens[index].text
        length = _count_time_point_words(text, [token.text for token in tokens[index + 1 : index + 3]])
        if length == 0:
            remaining.append(tokens[index])
        index += max(length, 1)
    return remaining


def may_be_time_point(tokens: Sequence[Word], index: int) -> bool:
    """Return whether a word such as `post` may mean a time point: an unknown word follows, or a time span precedes.

    `T1_post_bestrahlt` and `T1_6mo_post` can be images before contrast. `T1_post_reg` is not a time point.
    """
    following = tokens[index + 1].text if index + 1 < len(tokens) else ""
    is_unknown = len(following) > 2 and following.isalpha() and following not in _KNOWN | _NOT_A_TIME
    before = re.fullmatch("[0-9]+([a-z]+)", tokens[index - 1].text) if index else None
    return is_unknown or (before is not None and before.group(1) in _TIME_UNITS - {"d"})


def _count_time_point_words(text: str, following: Sequence[str]) -> int:
    """Return the number of words of a time point that starts here, or 0 if there is none."""
    for prefix in _TIME_PREFIXES:
        if text.startswith(prefix) and text[len(prefix) :] in _TIME_WORDS:
            return 1
    if text not in _TIME_PREFIXES or not following:
        return 0
    if following[0] in _TIME_WORDS:
        return 2
    digits = re.match("[0-9]+", following[0])
    if digits is None:
        return 0
    unit = following[0][digits.end() :]
    if unit in _TIME_UNITS:
        return 2
    return 3 if not unit and len(following) > 1 and following[1] in _TIME_UNITS else 0
