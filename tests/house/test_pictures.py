"""Every picture of the documentation has a program that draws it again, and is shown on a page."""

import argparse
import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DRAWN_BY_HAND = {"docs/pictures/raw_tcga.jpg"}


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("make_pictures", ROOT / "docs" / "tools" / "make_pictures.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_pictures"] = module  # its dataclass looks itself up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["make_pictures"]


def test_each_picture_belongs_to_one_group_or_was_drawn_by_hand(tool):
    files = [file for group in tool.GROUPS.values() for file in group.files]
    assert len(files) == len(set(files))
    pictures = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "pictures").iterdir()}
    assert pictures - set(files) == DRAWN_BY_HAND


def test_each_picture_is_shown_on_a_page():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert [path.name for path in (ROOT / "docs" / "pictures").iterdir() if path.name not in text] == []


def test_a_group_says_what_it_lacks(tool):
    nothing = argparse.Namespace(case=None, cases=None, show=None, evaluation=None)
    assert tool.GROUPS["icon"].lacks(nothing) == []
    assert tool.GROUPS["failures"].lacks(nothing) == ["--cases", "--show"]
    group = tool.Group((), "", lambda _: None, programs=("no-such-program",), modules=("no_such_package",))
    assert group.lacks(nothing) == ["no-such-program", "no_such_package"]


def test_what_was_asked_for_and_cannot_be_drawn_is_an_error(tool, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["make_pictures.py", "failures"])
    assert tool.main() == 2
    assert capsys.readouterr().out == "failures: not drawn, lacks --cases, --show\n"


def test_the_icon_is_drawn_as_it_is(tool, monkeypatch):
    """The drawing is deterministic, and the file in the repository is up to date."""
    icon = ROOT / "apps" / "slicer" / "BratsMM" / "Resources" / "Icons" / "BratsMM.png"
    before = icon.read_bytes()
    monkeypatch.setattr(sys, "argv", ["make_pictures.py", "icon"])
    try:
        assert tool.main() == 0
        assert icon.read_bytes() == before
    finally:
        icon.write_bytes(before)
