"""Every picture of the documentation has a program that draws it again, and is shown on a page."""

import argparse
import ast
import contextlib
import importlib.util
import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from brats_mm.cli.parser import make_parser
from brats_mm.data.phantom.head import make_phantom

ROOT = Path(__file__).resolve().parents[2]


def loaded(name):
    """Return a module of docs/tools."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tool():
    yield loaded("make_pictures")
    del sys.modules["make_pictures"]


def test_each_picture_belongs_to_one_group(tool):
    files = [file for group in tool.GROUPS.values() for file in group.files]
    assert len(files) == len(set(files))
    pictures = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "pictures").iterdir()}
    assert pictures - set(files) == set()


def test_each_picture_is_shown_on_a_page():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert [path.name for path in (ROOT / "docs" / "pictures").iterdir() if path.name not in text] == []


def test_group_reports_missing_requirements(tool):
    nothing = argparse.Namespace(raw_case=None, cases=None, show=None, evaluation=None)
    assert tool.GROUPS["icon"].lacks(nothing) == []
    assert tool.GROUPS["failures"].lacks(nothing) == ["--cases", "--show"]
    group = tool.Group((), "", lambda _: None, programs=("no-such-program",), modules=("no_such_package",))
    assert group.lacks(nothing) == ["no-such-program", "no_such_package"]


def test_requested_picture_that_cannot_be_drawn_is_an_error(tool, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["make_pictures.py", "failures"])
    assert tool.main() == 2
    assert capsys.readouterr().out == "failures: not drawn. Missing: --cases, --show\n"


def parser_of(script):
    """Return the parser of a script's `main`, without what the script imports."""
    tree = ast.parse(script.read_text(encoding="utf-8"))
    main = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main")
    built = [node for node in main.body if ast.unparse(node).startswith(("parser =", "parser.add_argument"))]
    names = {"argparse": argparse, "Path": Path, "__doc__": ast.get_docstring(tree)}
    exec(compile(ast.Module(built, []), str(script), "exec"), names)
    parser = names.get("parser", argparse.ArgumentParser())
    if "machine.parse(parser)" in ast.unparse(main):
        parser.add_argument("--force", action="store_true")
    return parser


class Recorder:
    """Parses each command instead of running it, and writes the pages that a browser would."""

    def __init__(self, brats_mm):
        self.brats_mm = list(brats_mm)
        self.commands = []

    def __call__(self, words, cwd, check):
        start, rest = words[0], words[1:]
        if words[:3] == self.brats_mm:
            self.commands.append(make_parser().parse_args(words[3:]).command)
        elif start == sys.executable:
            parser_of(Path(rest[0])).parse_args(rest[1:])
            self.commands.append(Path(rest[0]).name)
        else:
            self.commands.append(start)
            shots = [word.partition("=")[2] for word in rest if word.startswith("--screenshot=")]
            for shot in shots or ([f"{rest[-1]}-1.png"] if start == "pdftoppm" else []):
                Image.new("RGB", (8, 8)).save(shot)


@pytest.mark.parametrize(
    ("group", "commands"),
    [
        ("gallery", ["make_gallery.py"]),
        ("icon", ["draw_icon.py"]),
        ("corrections", ["corrections.py"]),
        ("viewer", ["screenshots.py"]),
        ("slicer", ["segment", "draw_views.py", "draw_views.py"]),
        ("report", ["segment", "chromium", "chromium", "pdftoppm"]),
        ("raw", ["segment", "draw_raw_case.py"]),
        ("failures", ["failure_pictures.py"]),
        ("trust", ["bundle"]),
    ],
)
def test_commands_of_each_group_parse(tool, monkeypatch, tmp_path, group, commands):
    recorder = Recorder(tool.BRATS_MM)
    monkeypatch.setattr(tool.subprocess, "run", recorder)
    monkeypatch.setattr(tool, "serving", lambda: contextlib.nullcontext("http://127.0.0.1:1"))
    monkeypatch.setattr(tool, "PICTURES", tmp_path)
    monkeypatch.setattr(
        tool,
        "shown_files",
        lambda folder, names=tool.SHOWN: {name: folder / f"head-{name}.nii.gz" for name in names},
    )
    given = argparse.Namespace(raw_case=tmp_path, cases=tmp_path, show=["A:t1+flair"], evaluation=tmp_path)
    tool.GROUPS[group].draw(given)
    assert recorder.commands == commands


def test_commands_of_every_group_are_tested(tool):
    (mark,) = test_commands_of_each_group_parse.pytestmark
    assert {group for group, _ in mark.args[1]} == tool.GROUPS.keys()


def test_icon_in_repository_is_up_to_date(tool, monkeypatch):
    """The drawing is deterministic."""
    icon = ROOT / "apps" / "slicer" / "BratsMM" / "Resources" / "Icons" / "BratsMM.png"
    before = icon.read_bytes()
    monkeypatch.setattr(sys, "argv", ["make_pictures.py", "icon"])
    try:
        assert tool.main() == 0
        assert icon.read_bytes() == before
    finally:
        icon.write_bytes(before)


@pytest.mark.slow
def test_raw_case_is_drawn_in_three_rows_with_edges_and_outlines(tmp_path):
    phantom = make_phantom(3, (64, 72, 56))
    affine = next(iter(phantom.images.values())).grid.affine
    kept = tmp_path / "result" / "intermediate"
    kept.mkdir(parents=True)
    (tmp_path / "case").mkdir()

    def store(path, data):
        nib.save(nib.Nifti1Image(data, affine), path)

    for modality, volume in phantom.images.items():
        store(tmp_path / "case" / f"case-{modality.value}.nii.gz", volume.data.astype(np.float32))
        store(kept / f"{modality.value}_registered.nii.gz", volume.data.astype(np.float32))
    store(kept / "brain_mask.nii.gz", volume.foreground.astype(np.uint8))
    store(tmp_path / "result" / "segmentation.nii.gz", phantom.labels.astype(np.uint8))
    (tmp_path / "result" / "report.json").write_text(json.dumps({"preparation": {"reference": "t1ce"}}))
    loaded("draw_raw_case").draw(tmp_path / "case", tmp_path / "result", tmp_path / "raw.png")
    pixels = np.asarray(Image.open(tmp_path / "raw.png").convert("RGB")).astype(int)
    assert pixels.shape == (720, 960, 3)
    coloured = (np.ptp(pixels, axis=2) > 60).reshape(3, 240, 960).any(axis=(1, 2))
    assert coloured.tolist() == [True, True, True]
