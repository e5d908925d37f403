"""The page recognises sequences by name as the library does: same words, and the same readings of one table."""

import json
from pathlib import Path

import pytest

from brats_mm.domain import modality
from brats_mm.domain.modality import MODALITIES, MSD_CHANNELS
from brats_mm.domain.sequence_names import CHANNEL_NUMBERS, ImageName, read_image_names
from brats_mm.io.suffixes import image_stem, image_suffix

WORDS = Path(__file__).resolve().parents[2] / "apps" / "viewer" / "src" / "sequence_words.json"
TABLE = json.loads(Path(__file__).with_name("names.json").read_text(encoding="utf-8"))


def test_the_page_knows_the_library_s_words():
    words = json.loads(WORDS.read_text(encoding="utf-8"))
    aliases = {word: name for name, listed in words["aliases"].items() for word in listed}
    assert aliases == {word: named.value for word, named in modality.ALIASES.items()}
    assert set(words["contrast"]) == modality.CONTRAST_TOKENS
    assert set(words["native"]) == modality.NATIVE_TOKENS
    assert set(words["labels"]) == modality.LABEL_TOKENS
    assert set(words["other_images"]) == modality.OTHER_IMAGE_TOKENS
    assert words["channels"] == [sequence.value for sequence in MSD_CHANNELS]
    assert list(words["aliases"]) == [sequence.value for sequence in MODALITIES]
    assert all(image_suffix(f"a{suffix}") == suffix for suffix in words["suffixes"])


@pytest.mark.parametrize("row", TABLE, ids=[row["what"] for row in TABLE])
def test_the_library_reads_the_shared_table_as_written(row):
    """The page's own reading is tested against the same table, in apps/viewer/tests/sequences.test.ts."""
    paths = [Path(name) for name in row["names"]]
    names = [ImageName(image_stem(path.name), "" if path.parent == Path() else path.parent.name) for path in paths]
    channels = dict(zip(CHANNEL_NUMBERS, MSD_CHANNELS, strict=True))
    got = []
    for reading in read_image_names(names, row["folder"]):
        named = (channels[reading.number],) if reading.number else reading.modalities
        kind = "labels" if reading.is_label else "other" if reading.is_other else [one.value for one in named]
        got.append(kind)
    assert got == list(row["names"].values())
