"""What the words of a series say: description, protocol and sequence name, as typed in hospitals of many languages.

Words are compared in lower case and without accents, as whole tokens; Chinese and Japanese, which are written without
spaces, as parts of the text.
"""

import re
import unicodedata
from dataclasses import dataclass
from itertools import pairwise

from brats_mm.domain.modality import Modality

T1_WORDS = frozenset({"t1", "t1w", "t1wi", "t1we", "mprage", "mp2rage", "bravo", "spgr", "fspgr", "irfspgr"}) | {
    "efgre3d", "3dt1", "t1tfe", "tfl", "tfl3d", "vibe", "thrive", "lava", "t1se", "t1tse", "t1fse", "t1gre", "t13d",
    "t1mprage", "t1ffe", "t1space", "t1cube", "t1vista", "mprange", "3dt1tfe", "t1flash", "fl3d", "t1fl", "t1bravo",
    "quick3d", "fastfe3d", "ffe3d", "3dffe", "t1c", "t1ce", "t1gd", "t1post", "t1km", "t1fs", "t1sag", "t1ax",
    "t1tra", "t1cor", "t1ir", "t1flair", "3dmprage", "t1vibe", "t1ffe3d", "fame", "disco",
}  # fmt: skip
T2_WORDS = frozenset({"t2", "t2w", "t2wi", "t2tse", "t2fse", "t2tra", "t2ax", "t2cor", "t2sag", "t2space"}) | {
    "t2cube", "t2vista", "3dt2", "t23d", "frfse", "t2propeller", "t2blade", "t2grase", "t2jet", "t2we",
}  # fmt: skip
FLAIR_WORDS = frozenset({
    "flair", "t2flair", "flair3d", "3dflair", "flairfs", "flairax", "axflair", "tirm", "dflair", "darkfluid",
    "spcir", "spacefl", "t2tirm", "cubeflair", "flairvista", "flairspace", "fluidattenuated", "t2f", "flaircube",
    "eflair",
})  # fmt: skip
FLAIR_PHRASES = (
    "dark fluid",
    "da fl",
    "fluid attenuated",
    "fluid att",
    "dark fl",
    "fluido attenuato",
    "liquide attenue",
)
FLAIR_PARTS = ("tir2d", "spcir", "tirm", "黒水", "黑水", "液体衰减", "水抑制", "抑水")

CONTRAST_WORDS = frozenset({"gd", "gad", "gado", "gadolinium", "gadolinio", "ce", "kontrast", "km"}) | {
    "post", "postcontrast", "postgad", "postgd", "contrast", "contraste", "contrasto", "mdc", "civ", "dotarem",
    "gadovist", "magnevist", "prohance", "omniscan", "multihance", "clariscan", "gadavist", "inj", "injection",
    "injecte", "injectee", "injected", "enhanced", "enh", "kontrastli", "kontrastlı", "kontrastem", "kontrascie",
    "kontrastowe", "wzmocnienie", "postkm", "postkontrast", "contrastmiddel", "kontrastmittel", "t1c", "t1ce",
    "t1gd", "t1post", "t1km", "gdt1", "gdtpa", "dtpa", "pc", "cmdc", "ivkontrast", "contrastado", "contrastada",
    "realzado", "poskontrast", "k+", "pos", "poscontraste", "postcontraste", "dopo",
}  # fmt: skip
CONTRAST_PARTS = ("增强", "增強", "造影", "造影後", "强化")
CONTRAST_PATTERN = re.compile(r"\+\s*(c|gd|gad|k|km|mdc|contrast)\b|\b(t1w?|c|k|gd)\s*\+|\bc/c\b|\bc/ ?contraste")

NATIVE_WORDS = frozenset({"pre", "precontrast", "nativ", "native", "nativa", "nativo", "unenhanced", "plain"}) | {
    "noncontrast", "noncon", "nocontrast", "ohne", "vor", "sans", "avant", "sin", "senza", "sem", "zonder", "voor",
    "bez", "przed", "kontrastsiz", "kontrastsız", "oncesi", "without", "wo", "non", "no", "basale", "basal",
    "blanco", "simple", "prekm", "pregad", "pregd", "noc", "prima", "antes", "noninjecte", "noninjectee", "unenh",
    "nongad", "nc", "natywne", "natywny", "prekontrast", "blanko",
}  # fmt: skip
NATIVE_PARTS = ("平扫", "平掃", "単純", "造影前", "增强前", "增強前", "非增强", "非造影")
NATIVE_PATTERN = re.compile(r"\bw/ ?o\b|\bs/c\b|\bs/ ?contraste|[-−]\s*c\b(?!\w)|\bo\.? ?km\b|\bc-(?=\s|$)")
_BARE_NEGATION = frozenset({"ohne", "vor", "sans", "avant", "sin", "senza", "sem", "zonder", "voor"}) | {
    "bez", "przed", "no", "non", "without", "wo", "prima", "antes", "oncesi",
}  # fmt: skip
"""Negations that count only beside a word for contrast: `no angulation`, `sans fatsat` say nothing."""
_WEAK_CONTRAST = frozenset({"post", "pos", "pc", "ce", "dopo", "inj"})
_NOT_CONTRAST_AFTER_POST = frozenset({"op", "operative", "operatorio", "operatoire", "fossa", "fosse", "rt"}) | {
    "fosa", "proc", "processing", "processed", "process", "surgery", "radio", "therapy", "biopsy", "ictal", "label",
}  # fmt: skip

FAT_SAT_WORDS = frozenset(
    {"fs", "fatsat", "fatsup", "spir", "spair", "chess", "dixon", "mdixon", "we", "fett", "ideal"}
)


@dataclass(frozen=True)
class Words:
    """What the words say.

    Attributes:
        weighting: T1, T2 or FLAIR, or None where they say nothing or two things.
        says: the words that said so.
        contrast: True after, False before contrast, None where nothing is said.
        contrast_says: the words that said so.
        fat_saturated: they say that fat is suppressed.
    """

    weighting: Modality | None
    says: str = ""
    contrast: bool | None = None
    contrast_says: str = ""
    fat_saturated: bool = False


def plain(text: str) -> str:
    """Lower case, without accents."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in folded if not unicodedata.combining(letter)).replace("ı", "i")


def tokens_of(text: str) -> list[str]:
    """Runs of letters and digits of plain text."""
    return re.findall(r"[a-z0-9]+", plain(text))


def read_words(*texts: str) -> Words:
    """Read the words of a series, the description first; further texts count where the ones before say nothing."""
    readings = [_read(text) for text in texts if text.strip()]
    weighted = next((one for one in readings if one.weighting), Words(None))
    told = next((one for one in readings if one.contrast is not None), Words(None))
    return Words(
        weighted.weighting,
        weighted.says,
        told.contrast,
        told.contrast_says,
        any(one.fat_saturated for one in readings),
    )


def _read(text: str) -> Words:
    tokens = tokens_of(text)
    weighting, says = _weighting(plain(text), tokens)
    contrast, contrast_says = _contrast(plain(text), tokens)
    return Words(weighting, says, contrast, contrast_says, not FAT_SAT_WORDS.isdisjoint(tokens))


def _weighting(text: str, tokens: list[str]) -> tuple[Modality | None, str]:
    flair = _first(tokens, FLAIR_WORDS) or _part(" ".join(tokens), FLAIR_PHRASES) or _part(text, FLAIR_PARTS)
    t1 = _first(tokens, T1_WORDS) or _part(text, ("t1加权", "t1強調", "t1强调"))
    t2 = _first(tokens, T2_WORDS) or _part(text, ("t2加权", "t2強調", "t2强调"))
    if flair and t1:  # T1 FLAIR is an inversion-prepared T1; FLAIR and T1 apart from each other are two things
        beside = re.search(r"t1w?[\s_-]*(tse|fse|ir|cube|memp)?[\s_-]*flair", text)
        return (Modality.T1, f"{t1} {flair}") if beside and not t2 else (None, "")
    if flair:
        return Modality.FLAIR, flair
    if t1 and t2:
        return None, ""
    if not t1 and not t2 and "mpr" in tokens:  # short for MPRAGE, unless it is a reformat of something that is named
        return Modality.T1, "mpr"
    if t1:
        return Modality.T1, t1
    return (Modality.T2, t2) if t2 else (None, "")


def _contrast(text: str, tokens: list[str]) -> tuple[bool | None, str]:
    after, before = _says_after(text, tokens), _says_before(text, tokens)
    if before and after and _part(text, NATIVE_PARTS):
        return False, before
    negated = before in _BARE_NEGATION
    if before and (after or not negated):
        return False, before
    return (True, after) if after else (None, "")


def _says_after(text: str, tokens: list[str]) -> str:
    for word, following in pairwise([*tokens, ""]):
        if word in CONTRAST_WORDS and not (word in _WEAK_CONTRAST and following in _NOT_CONTRAST_AFTER_POST):
            return word
    found = CONTRAST_PATTERN.search(text)
    return found.group().strip() if found else _part(text, CONTRAST_PARTS)


def _says_before(text: str, tokens: list[str]) -> str:
    part = _part(text, NATIVE_PARTS)
    if part:
        return part
    found = NATIVE_PATTERN.search(text)
    if found:
        return found.group().strip()
    for word, following in pairwise([*tokens, ""]):
        if word in NATIVE_WORDS and not (word == "pre" and following in _NOT_CONTRAST_AFTER_POST | {"sat"}):
            return word
    return ""


def _first(tokens: list[str], words: frozenset[str]) -> str:
    return next((token for token in tokens if token in words), "")


def _part(text: str, parts: tuple[str, ...]) -> str:
    return next((part for part in parts if part in text), "")
