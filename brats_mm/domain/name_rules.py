"""Read MR sequence names: file names, DICOM descriptions, node names of a viewer.

`sequence_words.json` holds the vocabulary. This module holds the rules. It uses the standard library only, so the
3D Slicer module carries a copy of both files. The web page implements the same rules in TypeScript. One table of names
(`tests/names/names.json`) tests all three.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

VOCABULARY: Mapping[str, Any] = json.loads(Path(__file__).with_name("sequence_words.json").read_text("utf-8"))
"""The vocabulary as stored; lists are separated by blanks."""


def word_list(*keys: str) -> tuple[str, ...]:
    """Return a list of the vocabulary by its path, for example `("weighting", "t1")`."""
    found: Any = VOCABULARY
    for key in keys:
        found = found[key]
    return tuple(found.split())


def _word_set(*keys: str) -> frozenset[str]:
    return frozenset(word_list(*keys))


ORDER = word_list("order")
"""Sequence names in channel order: t1, t1ce, t2, flair."""
WEIGHTING = {word: name for name in ORDER for word in word_list("weighting", name)}
"""Word -> sequence, for words that name a sequence by themselves."""
DECATHLON = word_list("decathlon")
"""Sequence of each channel number in the brain tumour task of the Medical Segmentation Decathlon."""
CHANNEL_NUMBERS = tuple(f"{number:04d}" for number in range(len(DECATHLON)))
"""Spelling of the channel numbers in file names."""
LABELS, FAT_SATURATED, ANNOTATED = _word_set("labels"), _word_set("fat_saturated"), _word_set("annotated")
CONTRAST, NATIVE = _word_set("contrast"), _word_set("native")

_AFTER, _BEFORE, _NEGATION = _word_set("after"), _word_set("before"), _word_set("negation")
_TIME_WORDS, _TIME_UNITS = _word_set("time_words"), _word_set("time_units")
_TIME_PREFIXES = _AFTER | _BEFORE | _word_set("time_before")
_SIGN_WORDS = _word_set("sign_words")
_PLUS_WORDS = _SIGN_WORDS | _word_set("plus_words")
_CONNECTORS = _word_set("connectors")
_COPIES, _MPR_OF = _word_set("copies"), _word_set("mpr_of")
_ALONE: Mapping[str, str] = VOCABULARY["alone"]
_HARMLESS = {word: frozenset(others.split()) for word, others in VOCABULARY["harmless_beside"].items()}
_FLAIR_PHRASES: Sequence[str] = VOCABULARY["phrases"]["flair"]
_REWRITES = tuple((re.compile(pattern), text) for pattern, text in VOCABULARY["rewrites"])
_REACH: int = VOCABULARY["negation_reach"]
"""A negation counts up to this many words before a word for contrast: `sans injection de gado`."""
_PIECES = frozenset(WEIGHTING) | CONTRAST | NATIVE | _AFTER | _BEFORE | _TIME_WORDS | _word_set("neutral") | set(_ALONE)
_BIDS_DROPPED, _BIDS_NO_CONTRAST = _word_set("bids", "dropped"), _word_set("bids", "no_contrast")
_BIDS_MARKER = re.compile(rf"(?:^|_)(?:{'|'.join(word_list('bids', 'marker'))})-[a-z0-9]+(?:_|$)")
_BIDS_CONTRAST = word_list("bids", "contrast")
_TOKEN = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True)
class Kind:
    """A kind of image other than the four sequences.

    Attributes:
        what: the kind in words, for example `ADC map`.
        words, patterns: words that name it, and patterns of several words, each between blanks.
        image_types: values of DICOM's Image Type that say it.
        names_only: the rule holds for file names only; of DICOM, other header fields decide.
    """

    what: str
    words: frozenset[str]
    patterns: tuple[re.Pattern[str], ...]
    image_types: frozenset[str]
    names_only: bool


KINDS = tuple(
    Kind(
        one["what"],
        frozenset(one["words"].split()),
        tuple(re.compile(pattern) for pattern in one["patterns"]),
        frozenset(one.get("image_types", "").split()),
        bool(one.get("names_only")),
    )
    for one in VOCABULARY["kinds"]
)
_KNOWN = (
    _PIECES
    | LABELS
    | _NEGATION
    | _COPIES
    | FAT_SATURATED
    | frozenset(word for kind in KINDS for word in kind.words)
    | _word_set("time_before")
)


@dataclass(frozen=True)
class Word:
    """A run of letters and digits of a name.

    Attributes:
        text: lower case, without accents.
        sign: `+` or `-` where the name attaches one that means contrast or no contrast, as in `C+` or `-Gd`.
        dashed: a hyphen joins the word to the one before.
    """

    text: str
    sign: str = ""
    dashed: bool = False


@dataclass(frozen=True)
class NameReading:
    """What a name says.

    Attributes:
        sequences: the sequences that it names, in channel order. One if the name is clear, several if it is ambiguous.
        says: the word that names the weighting.
        contrast: True after contrast, False before, None if nothing or two things are said.
        contrast_says: the words about contrast.
        is_weak: only a word such as `post` speaks of contrast, which can also mean a time point.
        label: the word that marks a label map; empty otherwise.
        kind: the kind of other image, such as `ADC map`; empty otherwise.
        kind_says: the word that names the kind.
        copy: the word that marks a worse copy, such as `annotated` or `reformat`; empty otherwise.
        number: the channel number (`0000`) that stands for the sequence where no words do.
    """

    sequences: tuple[str, ...] = ()
    says: str = ""
    contrast: bool | None = None
    contrast_says: str = ""
    is_weak: bool = False
    label: str = ""
    kind: str = ""
    kind_says: str = ""
    copy: str = ""
    number: str = ""


def plain(text: str) -> str:
    """Return text in lower case, without accents."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in folded if not unicodedata.combining(letter)).replace("ı", "i")


def name_tokens(text: str) -> list[str]:
    """Return the runs of letters and digits of a name, in lower case and without accents."""
    return _TOKEN.findall(plain(text))


def words_of(text: str) -> list[Word]:
    """Split a name into words: rewrite what is no word (`w/o`, CJK), then keep the signs that speak of contrast."""
    folded = plain(text)
    for pattern, instead in _REWRITES:
        folded = pattern.sub(instead, folded)
    return [_word(folded, *match.span()) for match in _TOKEN.finditer(folded)]


def _word(text: str, start: int, end: int) -> Word:
    word, before, after = text[start:end], text[:start], text[end:]
    sign = ""
    if (word in _SIGN_WORDS and before.rstrip(" ").endswith("+")) or (
        word in _PLUS_WORDS and after[:1] == "+" and not after[1:2].isalnum()
    ):
        sign = "+"
    elif word in _SIGN_WORDS and (
        (before[-1:] == "-" and before[-2:-1] in ("", " ", "_", ".", "(", ","))
        or (after[:1] == "-" and after[1:2] in ("", " ", "_", ".", ")", ","))
    ):
        sign = "-"
    return Word(word, sign, before[-1:] == "-")


def without_entities(stem: str) -> str:
    """Return a BIDS name without its entities: values of `acq-`, `rec-` and `desc-` stay, `ce-` becomes a word.

    Names without `sub-` or `ses-` stay as they are.
    """
    folded = stem.lower()
    if not _BIDS_MARKER.search(folded):
        return stem
    kept = []
    for part in folded.split("_"):
        key, dash, value = part.partition("-")
        if dash and key in _BIDS_CONTRAST:
            kept.append("native" if value in _BIDS_NO_CONTRAST else "contrast")
        elif not (dash and key in _BIDS_DROPPED):
            kept.append(value if dash and key in ("acq", "rec", "desc") else part)
    return "_".join(kept)


def read_name(text: str, *, is_file: bool = True) -> NameReading:
    """Read a single name.

    Args:
        text: a file name without its suffix, or a description.
        is_file: apply the rules for file names; a DICOM description leaves some kinds to the other header fields.
    """
    return _read(_without_identifier(words_of(without_entities(text))), is_file=is_file)


def read_names(names: Sequence[tuple[str, str]], folder: str = "") -> list[NameReading]:
    """Read the names of a case's files together.

    The words that all names start with, and the folder's name, are the case's name. They count only if nothing else
    names a sequence.

    Args:
        names: (file name without suffix, name of the sub-folder or an empty string).
        folder: name of the case's folder.
    """
    stems = [words_of(without_entities(stem)) for stem, _ in names]
    tails, shared = _tails(stems, words_of(folder))
    numbers = _numbers(stems, tails)
    found = [
        replace(_first_reading(tail, stem, words_of(sub)), number=number or "")
        for tail, stem, (_, sub), number in zip(tails, stems, names, numbers, strict=True)
    ]
    return _compared(found, NameReading() if _starts_with_identifier(shared) else _read(shared))


def _first_reading(tail: Sequence[Word], stem: Sequence[Word], sub: Sequence[Word]) -> NameReading:
    """Read the part that sets a name apart, else the whole name, else the sub-folder's name."""
    first = _read(_without_identifier(tail) if len(tail) == len(stem) else tail)
    for words in (tail, stem, sub):
        reading = _read(_without_identifier(words))
        if reading.sequences:
            return replace(reading, label=first.label, kind=first.kind, kind_says=first.kind_says, copy=first.copy)
    return first


def _compared(found: list[NameReading], shared: NameReading) -> list[NameReading]:
    """Mark a T1 as ambiguous where only the other names of the folder show that its words may mean something else.

    `T1_post` beside `FLAIR_post` can be a time point. `gd_T1` and `gd_FLAIR` share a word for contrast.
    """
    named = {one.sequences[0] for one in found if len(one.sequences) == 1}
    others_post = any(one.contrast and one.is_weak and one.sequences in (("t2",), ("flair",)) for one in found)
    vague_post = others_post and "t1" not in named
    vague_native = shared.contrast is True and "t1ce" not in named
    return [
        replace(one, sequences=("t1", "t1ce"))
        if (one.sequences == ("t1ce",) and one.is_weak and vague_post)
        or (one.sequences == ("t1",) and one.contrast is None and vague_native)
        else one
        for one in found
    ]


def _without_identifier(words: Sequence[Word]) -> Sequence[Word]:
    """Leave out a first word that is part of an identifier, as in `GD_001_t1` or `sub-03`."""
    return words[2:] if len(words) > 2 and _starts_with_identifier(words) else words


def _starts_with_identifier(words: Sequence[Word]) -> bool:
    return len(words) > 1 and words[1].text.isdigit() and (words[0].text in CONTRAST or words[0].text == "sub")


def _read(words: Sequence[Word], *, is_file: bool = True) -> NameReading:
    whole = _expanded(words)
    timeless = _without_time_points(whole)
    texts = [word.text for word in timeless]
    named, says = _weighting(texts)
    contrast = _contrast(timeless)
    kind, kind_says = _kind(texts, is_file=is_file)
    return NameReading(
        sequences=_with_contrast(named, contrast, joins_two=_joins_two_t1(texts)),
        says=says,
        contrast=contrast.verdict,
        contrast_says=contrast.says,
        is_weak=contrast.is_weak,
        label=next((word.text for word in whole if word.text in LABELS), ""),
        kind=kind,
        kind_says=kind_says,
        copy=_copy(texts),
    )


def _expanded(words: Iterable[Word]) -> list[Word]:
    """Split unknown words that are made of known ones and name a sequence: `axt1postgd`, `t2flair`."""
    found: list[Word] = []
    for word in words:
        pieces = [] if word.text in _KNOWN else _pieces(word.text)
        if any(piece in WEIGHTING for piece in pieces):
            found += [Word(piece) for piece in pieces[:-1]] + [Word(pieces[-1], word.sign)]
        else:
            found.append(word)
    return found


def _pieces(text: str) -> list[str]:
    """Return known words that make up the text, the longest first; an empty list where there are none."""
    if not text:
        return []
    for length in range(len(text), 1, -1):
        if text[:length] in _PIECES:
            rest = _pieces(text[length:])
            if rest or length == len(text):
                return [text[:length], *rest]
    return []


def _without_time_points(words: Sequence[Word]) -> list[Word]:
    """Leave out time points: `post-op`, `preop`, `post RT`, `post 3 months`."""
    kept: list[Word] = []
    index = 0
    while index < len(words):
        text = words[index].text
        length = _time_point(text, [word.text for word in words[index + 1 : index + 3]])
        if length == 0:
            kept.append(words[index])
        index += max(length, 1)
    return kept


def _time_point(text: str, following: Sequence[str]) -> int:
    """Return how many words a time point that starts here takes; 0 if none starts."""
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


def _weighting(texts: Sequence[str]) -> tuple[set[str], str]:
    """Return the weightings named (t1, t2, flair), and the first word that names one."""
    said: dict[str, str] = {}
    for text in texts:
        if text in WEIGHTING:
            said.setdefault("t1" if WEIGHTING[text] == "t1ce" else WEIGHTING[text], text)
    joined = f" {' '.join(texts)} "
    phrase = next((phrase for phrase in _FLAIR_PHRASES if f" {phrase} " in joined), "")
    if phrase:
        said.setdefault("flair", phrase)
    if "flair" in said:
        said.pop("t2", None)
    for text in texts:
        if text in _ALONE and (not said or (_ALONE[text] == "flair" and set(said) == {"t2"})):
            said.setdefault(_ALONE[text], text)
    return set(said), " ".join(said.values())


@dataclass(frozen=True)
class _Contrast:
    """Words about contrast: those for it, those against it."""

    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    is_weak: bool = False

    @property
    def is_vague(self) -> bool:
        return bool(self.after and self.before)

    @property
    def verdict(self) -> bool | None:
        return None if self.is_vague or not (self.after or self.before) else bool(self.after)

    @property
    def says(self) -> str:
        return " ".join((*self.before, *self.after))


def _contrast(words: Sequence[Word]) -> _Contrast:
    after: list[str] = []
    before: list[str] = []
    is_weak = True
    index = 0
    while index < len(words):
        word = words[index]
        text = word.text
        if word.sign:
            (after if word.sign == "+" else before).append(f"{text}{word.sign}")
            is_weak = False
        elif text in _NEGATION or text in _BEFORE:
            target = _negated(words, index)
            if target or text in _BEFORE or index == len(words) - 1:
                before.append(" ".join(one.text for one in words[index : (target or index) + 1]))
            index = target or index
        elif text in NATIVE:
            before.append(text)
        elif text in CONTRAST or WEIGHTING.get(text) == "t1ce":
            after.append(text)
            is_weak = False
        elif text in _AFTER:
            after.append(text)
        elif text == "c":
            beside = index > 0 and WEIGHTING.get(words[index - 1].text) == "t1"
            after.append("c")
            before += [] if beside and not word.dashed else ["c"]
        index += 1
    return _Contrast(tuple(after), tuple(before), is_weak and bool(after) and "c" not in after)


def _negated(words: Sequence[Word], index: int) -> int:
    """Return the place of the last word for contrast that a negation covers; 0 if there is none."""
    found = 0
    for place in range(index + 1, min(index + 1 + _REACH, len(words))):
        if words[place].text in _AFTER:
            break
        if words[place].text in CONTRAST or words[place].text == "c":
            found = place
    return found


def _joins_two_t1(texts: Sequence[str]) -> bool:
    """Return whether a name connects two T1, as in `t1ce_to_t1` or `t1ce_minus_t1`."""
    places = [place for place, text in enumerate(texts) if WEIGHTING.get(text) in ("t1", "t1ce")]
    return bool(places) and not _CONNECTORS.isdisjoint(texts[places[0] : places[-1]])


def _with_contrast(named: set[str], contrast: _Contrast, *, joins_two: bool) -> tuple[str, ...]:
    found = set(named)
    if "t1" in found and contrast.after:
        found.add("t1ce")
        if not contrast.is_vague and not joins_two:
            found.discard("t1")
    return tuple(name for name in ORDER if name in found)


def _kind(texts: Sequence[str], *, is_file: bool) -> tuple[str, str]:
    joined = f" {' '.join(texts)} "
    for kind in KINDS:
        if kind.names_only and not is_file:
            continue
        word = next((text for text in texts if text in kind.words), "")
        match = None if word else next((found for one in kind.patterns if (found := one.search(joined))), None)
        word = match.group().strip() if match else word
        if word and _HARMLESS.get(word, frozenset()).isdisjoint(texts):
            return kind.what, word
    return "", ""


def _copy(texts: Sequence[str]) -> str:
    word = next((text for text in texts if text in _COPIES), "")
    if not word and "mpr" in texts and (texts.count("mpr") > 1 or not _MPR_OF.isdisjoint(texts)):
        return "mpr"
    return word


def _tails(names: list[list[Word]], folder: list[Word]) -> tuple[list[list[Word]], list[Word]]:
    """Return each name without the folder's name and without what all names start with; and that shared start."""
    length = len(folder)
    own = [word.text for word in folder]
    tails = [words[length:] if length and [word.text for word in words[:length]] == own else words for words in names]
    tails = [tail or words for tail, words in zip(tails, names, strict=True)]
    if len(tails) < 2:
        return tails, []
    shared = common_prefix([[word.text for word in tail] for tail in tails])
    return [tail[shared:] for tail in tails], tails[0][:shared]


def common_prefix(names: Sequence[Sequence[str]]) -> int:
    """Return how many parts all names have in common from the left."""
    shared = 0
    while all(len(name) > shared for name in names) and len({name[shared] for name in names}) == 1:
        shared += 1
    return shared


def _numbers(names: list[list[Word]], tails: list[list[Word]]) -> list[str | None]:
    """Return the channel number of each name that ends on `_0000` to `_0003`, where no words name the sequences."""
    last = [words[-1].text if words else "" for words in names]
    numbers = [text if text in CHANNEL_NUMBERS else None for text in last]
    numbered = [words for words, number in zip(names, numbers, strict=True) if number]
    in_words = any(_read(words).sequences for words in numbered)
    only = len(numbered) == len(names) == len(CHANNEL_NUMBERS) and all(len(tail) <= 1 for tail in tails)
    return numbers if not in_words or only else [None] * len(names)
