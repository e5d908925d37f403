"""Read MR sequence names: file names, DICOM descriptions, or node names of a viewer.

`sequence_words.json` holds the vocabulary, `name_words.py` splits a name into words, and this module holds the rules.
They use only the standard library, and the 3D Slicer module carries copies. The web page implements the same rules in
TypeScript. A common table of names (`tests/names/names.json`) tests all implementations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .name_words import (
    AFTER,
    ALONE,
    BEFORE,
    CHANNEL_NUMBERS,
    CONTRAST,
    DOUBTS,
    KINDS,
    LABELS,
    NATIVE,
    NEGATION,
    ORDER,
    VOCABULARY,
    WEIGHTING,
    Kind,
    Word,
    expand_words,
    make_word_set,
    may_be_time_point,
    remove_entities,
    remove_time_points,
    split_words,
)

_CONNECTORS = make_word_set("connectors")
_PREFIX_KINDS = frozenset(kind.name for kind in KINDS if kind.as_prefix)
_COPIES, _MPR_OF = make_word_set("copies"), make_word_set("mpr_of")
_HARMLESS = {word: frozenset(others.split()) for word, others in VOCABULARY["harmless_beside"].items()}
_FLAIR_PHRASES: Sequence[str] = VOCABULARY["phrases"]["flair"]
_REACH: int = VOCABULARY["negation_reach"]
"""Maximum number of words between a negation and a word for contrast: `sans injection de gado`."""


@dataclass(frozen=True)
class NameReading:
    """Meaning of a name.

    Attributes:
        sequences: the sequences that it names, in channel order. One if the name is clear, several if it is ambiguous.
        word: the word that names the weighting.
        contrast: True after contrast, False before, None if unstated or contradictory.
        contrast_word: the words about contrast.
        is_weak: the only word for contrast is one such as `post`, which can also mean a time point.
        label: the word that marks a label map, or empty.
        kind: the kind of another image, such as `ADC map`, or empty.
        kind_word: the word that names the kind.
        doubt: another possible meaning of the name, such as `a real part`, or empty.
        copy: the word that marks a derived copy, such as `annotated` or `reformat`, or empty.
        number: the channel number (`0000`) that identifies the sequence if no words do.
    """

    sequences: tuple[str, ...] = ()
    word: str = ""
    contrast: bool | None = None
    contrast_word: str = ""
    is_weak: bool = False
    label: str = ""
    kind: str = ""
    kind_word: str = ""
    doubt: str = ""
    copy: str = ""
    number: str = ""


def read_name(text: str, *, is_file: bool = True) -> NameReading:
    """Read a single name.

    Args:
        text: a file name without its suffix, or a description.
        is_file: apply the rules for file names. For a DICOM description, other header fields decide some kinds.
    """
    return _read(_remove_identifier(split_words(remove_entities(text))), is_file=is_file)


def read_names(names: Sequence[tuple[str, str]], folder: str = "") -> list[NameReading]:
    """Read the names of a case's files together.

    The common prefix of all names and the folder's name form the case's name. They count only if nothing else names a
    sequence. A kind of image that the prefix names, as in `phase_T1` and `phase_FLAIR`, makes the names ambiguous.

    Args:
        names: (file name without suffix, name of the subfolder or an empty string).
        folder: name of the case's folder.
    """
    stems = [split_words(remove_entities(stem)) for stem, _ in names]
    tails, shared = _split_prefix(stems, split_words(folder))
    numbers = _find_channel_numbers(stems, tails)
    readings = [
        replace(_choose_reading(tail, stem, split_words(sub)), number=number or "")
        for tail, stem, (_, sub), number in zip(tails, stems, names, numbers, strict=True)
    ]
    return _compare_readings(readings, NameReading() if _starts_with_identifier(shared) else _read_shared(shared))


def _read_shared(words: Sequence[Word]) -> NameReading:
    """Read a common prefix. A prefix with a number identifies a case, so it names no kind of image."""
    reading = _read(words)
    return replace(reading, kind="") if any(word.text.isdigit() for word in words) else reading


def _choose_reading(tail: Sequence[Word], stem: Sequence[Word], sub: Sequence[Word]) -> NameReading:
    """Read the distinctive part of a name, else the whole name, else the subfolder's name."""
    first = _read(_remove_identifier(tail) if len(tail) == len(stem) else tail)
    for candidate in (tail, stem, sub):
        reading = _read(_remove_identifier(candidate))
        if reading.sequences:
            return replace(
                reading,
                label=first.label,
                kind=first.kind,
                kind_word=first.kind_word,
                doubt=first.doubt,
                copy=first.copy,
            )
    return first


def _compare_readings(readings: list[NameReading], shared: NameReading) -> list[NameReading]:
    """Mark a T1 as ambiguous if only the other names of the folder show that its words may have another meaning.

    `T1_post` beside `FLAIR_post` can be a time point. `gd_T1` and `gd_FLAIR` share a word for contrast.
    """
    sequences = {reading.sequences[0] for reading in readings if len(reading.sequences) == 1}
    others_post = any(
        reading.contrast and reading.is_weak and reading.sequences in (("t2",), ("flair",)) for reading in readings
    )
    vague_post = others_post and "t1" not in sequences
    vague_native = shared.contrast is True and "t1ce" not in sequences
    if shared.kind in _PREFIX_KINDS:
        readings = [replace(reading, doubt=reading.doubt or shared.kind) for reading in readings]
    return [
        replace(reading, sequences=("t1", "t1ce"))
        if (reading.sequences == ("t1ce",) and reading.is_weak and vague_post)
        or (reading.sequences == ("t1",) and reading.contrast is None and vague_native)
        else reading
        for reading in readings
    ]


def _remove_identifier(tokens: Sequence[Word]) -> Sequence[Word]:
    """Remove a first word that is part of an identifier, as in `GD_001_t1` or `sub-03`."""
    return tokens[2:] if len(tokens) > 2 and _starts_with_identifier(tokens) else tokens


def _starts_with_identifier(tokens: Sequence[Word]) -> bool:
    return len(tokens) > 1 and tokens[1].text.isdigit() and (tokens[0].text in CONTRAST or tokens[0].text == "sub")


def _read(tokens: Sequence[Word], *, is_file: bool = True) -> NameReading:
    all_tokens = expand_words(tokens)
    timeless = remove_time_points(all_tokens)
    texts = [word.text for word in timeless]
    sequences, word = _find_weightings(texts)
    contrast = _find_contrast(timeless)
    kind, kind_word = _find_kind(texts, is_file=is_file)
    return NameReading(
        sequences=_add_contrast(sequences, contrast, joins_two=_joins_two_t1(texts)),
        word=word,
        contrast=contrast.verdict,
        contrast_word=contrast.word,
        is_weak=contrast.is_weak,
        label=next((word.text for word in all_tokens if word.text in LABELS), ""),
        kind=kind,
        kind_word=kind_word,
        doubt=_describe_doubt(texts) if is_file and not kind else "",
        copy=_copy(texts),
    )


def _find_weightings(texts: Sequence[str]) -> tuple[set[str], str]:
    """Return the weightings named (t1, t2, flair), and the first word that names one."""
    readings: dict[str, str] = {}
    for text in texts:
        if text in WEIGHTING:
            readings.setdefault("t1" if WEIGHTING[text] == "t1ce" else WEIGHTING[text], text)
    joined = f" {' '.join(texts)} "
    phrase = next((phrase for phrase in _FLAIR_PHRASES if f" {phrase} " in joined), "")
    if phrase:
        readings.setdefault("flair", phrase)
    if "flair" in readings:
        readings.pop("t2", None)
    for text in texts:
        if text in ALONE and (not readings or (ALONE[text] == "flair" and set(readings) == {"t2"})):
            readings.setdefault(ALONE[text], text)
    return set(readings), " ".join(readings.values())


@dataclass(frozen=True)
class _Contrast:
    """Words for and against contrast, and whether a weak one may mean a time point."""

    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    is_weak: bool = False
    is_time_point: bool = False

    @property
    def is_vague(self) -> bool:
        return bool(self.after and (self.before or (self.is_weak and self.is_time_point)))

    @property
    def verdict(self) -> bool | None:
        return None if self.is_vague or not (self.after or self.before) else bool(self.after)

    @property
    def word(self) -> str:
        return " ".join((*self.before, *self.after))


def _find_contrast(tokens: Sequence[Word]) -> _Contrast:
    after: list[str] = []
    before: list[str] = []
    is_weak = True
    is_time_point = False
    index = 0
    while index < len(tokens):
        token = tokens[index]
        text = token.text
        if token.sign:
            (after if token.sign == "+" else before).append(f"{text}{token.sign}")
            is_weak = False
        elif text in NEGATION or text in BEFORE:
            target = _find_negated(tokens, index)
            if target or text in BEFORE or index == len(tokens) - 1:
                before.append(" ".join(part.text for part in tokens[index : (target or index) + 1]))
            index = target or index
        elif text in NATIVE:
            before.append(text)
        elif text in CONTRAST or WEIGHTING.get(text) == "t1ce":
            after.append(text)
            is_weak = False
        elif text in AFTER:
            after.append(text)
            is_time_point |= may_be_time_point(tokens, index)
        elif text == "c":
            beside = index > 0 and WEIGHTING.get(tokens[index - 1].text) == "t1"
            after.append("c")
            before += [] if beside and not token.dashed else ["c"]
        index += 1
    is_weak = is_weak and bool(after) and "c" not in after
    return _Contrast(tuple(after), tuple(before), is_weak, is_time_point)


def _find_negated(tokens: Sequence[Word], index: int) -> int:
    """Return the index of the last word for contrast that a negation covers, or 0 if there is none."""
    start = 0
    for position in range(index + 1, min(index + 1 + _REACH, len(tokens))):
        if tokens[position].text in AFTER:
            break
        if tokens[position].text in CONTRAST or tokens[position].text == "c":
            start = position
    return start


def _joins_two_t1(texts: Sequence[str]) -> bool:
    """Return whether a name connects two T1, as in `t1ce_to_t1` or `t1ce_minus_t1`."""
    positions = [position for position, text in enumerate(texts) if WEIGHTING.get(text) in ("t1", "t1ce")]
    return bool(positions) and not _CONNECTORS.isdisjoint(texts[positions[0] : positions[-1]])


def _add_contrast(sequences: set[str], contrast: _Contrast, *, joins_two: bool) -> tuple[str, ...]:
    kinds = set(sequences)
    if "t1" in kinds and contrast.after:
        kinds.add("t1ce")
        if not contrast.is_vague and not joins_two:
            kinds.discard("t1")
    return tuple(name for name in ORDER if name in kinds)


def _describe_doubt(texts: Sequence[str]) -> str:
    return next((kind.name for kind in DOUBTS if _find_words_of(kind, texts)), "")


def _find_words_of(kind: Kind, texts: Sequence[str]) -> str:
    """Return the words that name a kind of image, or an empty string."""
    word = next((text for text in texts if text in kind.words), "")
    if word:
        return word
    joined = f" {' '.join(texts)} "
    return next((match.group().strip() for pattern in kind.patterns if (match := pattern.search(joined))), "")


def _find_kind(texts: Sequence[str], *, is_file: bool) -> tuple[str, str]:
    for kind in KINDS:
        if kind.names_only and not is_file:
            continue
        keyword = _find_words_of(kind, texts)
        if keyword and _HARMLESS.get(keyword, frozenset()).isdisjoint(texts):
            return kind.name, keyword
    return "", ""


def _copy(texts: Sequence[str]) -> str:
    keyword = next((text for text in texts if text in _COPIES), "")
    if not keyword and "mpr" in texts and (texts.count("mpr") > 1 or not _MPR_OF.isdisjoint(texts)):
        return "mpr"
    return keyword


def _split_prefix(names: list[list[Word]], folder: list[Word]) -> tuple[list[list[Word]], list[Word]]:
    """Remove the folder's name and the common prefix from each name. Return the names and the prefix."""
    length = len(folder)
    folder_texts = [word.text for word in folder]
    tails = [
        tokens[length:] if length and [word.text for word in tokens[:length]] == folder_texts else tokens
        for tokens in names
    ]
    tails = [tail or tokens for tail, tokens in zip(tails, names, strict=True)]
    if len(tails) < 2:
        return tails, []
    shared = count_common_parts([[word.text for word in tail] for tail in tails])
    return [tail[shared:] for tail in tails], tails[0][:shared]


def count_common_parts(names: Sequence[Sequence[str]]) -> int:
    """Return the number of leading parts that all names share."""
    shared = 0
    while all(len(name) > shared for name in names) and len({name[shared] for name in names}) == 1:
        shared += 1
    return shared


def _find_channel_numbers(names: list[list[Word]], tails: list[list[Word]]) -> list[str | None]:
    """Return the channel number of each name that ends in `_0000` to `_0003`, if no words name the sequences."""
    last = [tokens[-1].text if tokens else "" for tokens in names]
    numbers = [text if text in CHANNEL_NUMBERS else None for text in last]
    numbered = [tokens for tokens, number in zip(names, numbers, strict=True) if number]
    in_words = any(_read(tokens).sequences for tokens in numbered)
    only = len(numbered) == len(names) == len(CHANNEL_NUMBERS) and all(len(tail) <= 1 for tail in tails)
    return numbers if not in_words or only else [None] * len(names)
