"""One table of names for the library, the 3D Slicer module and the web page (`sequences.test.ts`)."""

import json
import re
from pathlib import Path

import pytest

from brats_mm.domain import name_rules, name_words
from brats_mm.domain.modality import MODALITIES
from brats_mm.domain.name_rules import read_name
from brats_mm.domain.name_words import KINDS, VOCABULARY
from brats_mm.domain.sequence_names import CHANNEL_NUMBERS, MSD_CHANNELS, ImageName, list_names, read_image_names
from brats_mm.io.suffixes import find_image_suffix, strip_image_suffix
from BratsMMLib import name_rules as slicer_rules

HERE = Path(__file__).parent
NAMES = json.loads((HERE / "names.json").read_text(encoding="utf-8"))
FOLDERS = json.loads((HERE / "folders.json").read_text(encoding="utf-8"))
SLICER = Path(slicer_rules.__file__).parent
DOMAIN = Path(name_rules.__file__).parent


@pytest.mark.parametrize(("name", "expected"), NAMES.items(), ids=NAMES.keys())
def test_names_match_table(name, expected):
    reading = read_name(name)
    got = "labels" if reading.label else "other" if reading.kind else "|".join(_meanings(reading))
    assert got == expected


def _meanings(reading):
    return [*reading.sequences, *([reading.doubt] if reading.doubt and reading.sequences else [])]


@pytest.mark.parametrize("row", FOLDERS, ids=[row["name"] for row in FOLDERS])
def test_folder_names_match_table(row):
    paths = [Path(name) for name in row["names"]]
    names = [
        ImageName(strip_image_suffix(path.name), "" if path.parent == Path() else path.parent.name) for path in paths
    ]
    channels = dict(zip(CHANNEL_NUMBERS, MSD_CHANNELS, strict=True))
    got = []
    for reading in read_image_names(names, row["folder"]):
        named = (channels[reading.number],) if reading.number else reading.modalities
        meanings = [*(one.value for one in named), *([reading.doubt] if reading.doubt and named else [])]
        got.append("labels" if reading.is_label else "other" if reading.is_other else meanings)
    assert got == list(row["names"].values())


def test_table_is_large():
    assert len(NAMES) >= 150
    assert set("|".join(NAMES.values()).split("|")) >= {"t1", "t1ce", "t2", "flair", "labels", "other", ""}


@pytest.mark.parametrize(
    "file", ["background.py", "display.json", "display.py", "name_rules.py", "name_words.py", "sequence_words.json"]
)
def test_slicer_module_has_equal_copy(file):
    """3D Slicer's Python has no `brats_mm`. After a change: cp brats_mm/domain/FILE apps/slicer/BratsMM/BratsMMLib/."""
    assert (SLICER / file).read_bytes() == (DOMAIN / file).read_bytes()


def test_no_word_contradicts_another():
    """A word that names a sequence names no label map, no other image and no second weighting."""
    for modality in MODALITIES:
        for word in list_names(modality):
            reading = read_name(word)
            assert not reading.label, word
            assert not reading.kind, word
            assert reading.sequences == (modality.value,), word


def test_words_are_plain():
    """The rules compare lower-case words without accents, so any other spelling in the vocabulary never matches."""

    def texts(value):
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            for key, one in value.items():
                yield from texts(one) if key not in ("about", "name", "image_types", "suffixes", "rewrites") else ()
        elif isinstance(value, list):
            for one in value:
                yield from texts(one)

    for text in texts({key: value for key, value in VOCABULARY.items() if key != "kinds"}):
        assert name_words.simplify(text) == text
    for kind in KINDS:
        assert all(re.fullmatch("[a-z0-9]+", word) for word in kind.words), kind.name


def test_suffixes_of_page_are_volume_files():
    assert all(find_image_suffix(f"a{suffix}") == suffix for suffix in VOCABULARY["suffixes"].split())
