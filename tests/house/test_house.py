"""Rules of the repository: file sizes, links, versions, and commands that parse."""

import argparse
import ast
import re
import shlex
from pathlib import Path

import pytest

import brats_mm
from brats_mm import errors
from brats_mm.cli.parser import make_parser

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "brats_mm").rglob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES += sorted((ROOT / "bundles").rglob("*.md"))


def test_file_is_short_and_has_module_docstring():
    """At most 400 lines."""
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 400, path
        assert not text.strip() or ast.get_docstring(ast.parse(text)), f"{path} does not say what it is"


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda path: path.stem)
def test_test_module_has_docstring(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path} needs a one-line docstring"


def test_merge_checks_run_all_tests():
    """Plain pytest deselects slow tests. `.ci/run` selects all tests."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "tests=\"$tests -m '' " in script
    assert "--deselect" not in script
    assert "--ignore" not in script


def test_no_python_inside_bundles():
    assert not list((ROOT / "bundles").rglob("*.py"))


def test_configs_name_entries_and_never_count_them():
    """An entry such as `transforms::8` means another step once one is added before it."""
    for path in (ROOT / "bundles").rglob("*.json"):
        assert not re.search(r'::\d+(::|")', path.read_text(encoding="utf-8")), path


def test_only_output_modules_print():
    for path in SOURCES:
        if path.name != "output.py":
            assert not re.search(r"^\s*print\(", path.read_text(encoding="utf-8"), re.MULTILINE), path


def test_versions_agree():
    """The package has its version from `brats_mm.__version__`. Citation and changelog match it."""
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'dynamic = ["version"]' in pyproject
    assert '[tool.hatch.version]\npath = "brats_mm/__init__.py"' in pyproject
    assert f"\nversion: {brats_mm.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {brats_mm.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_error_is_in_documented_tree():
    tree = errors.__doc__ or ""
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and kind.__module__ == errors.__name__:
            assert re.search(rf"\b{name}\b", tree), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_resolve(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page} links to {target}"


def commands():
    """Return each `brats-mm ...` line in a code block of a page."""
    for page in PAGES:
        for block in re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            for line in re.split(r"\n|&&", re.sub(r"\\\n\s*", " ", block)):
                words = shlex.split(line, comments=True)
                if words and words[0].endswith("brats-mm"):
                    yield pytest.param(words[1:], id=" ".join(words[1:]))


@pytest.mark.parametrize("words", list(commands()))
def test_commands_in_pages_parse(words):
    options = make_parser().parse_args(words)
    assert options.command


def command_parsers(parser, name=""):
    """Yield each command's full name and parser, subcommands included."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield name.strip(), parser
    for group in groups:
        for word, inner in group.choices.items():
            yield from command_parsers(inner, f"{name} {word}")


def test_reference_documents_every_option():
    """docs/commands.md names each option of each command."""
    reference = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for name, parser in command_parsers(make_parser()):
        section = reference.split(f"## brats-mm {name}\n")[1].split("\n## ")[0]
        for action in parser._actions:
            for option in action.option_strings:
                if option.startswith("--") and option != "--help":
                    assert f"`{option}" in section, f"{name} {option}"
