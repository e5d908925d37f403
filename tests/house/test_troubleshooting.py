"""The page of messages quotes messages that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTES = re.findall(r'\*\*"(.+?)"\*\*', PAGE.replace("\n", " "))


OF_SYSTEM = {"Permission denied", "No space left on device"}
"""Messages of the operating system."""


def source_text():
    """All source with adjacent string literals joined, as Python and the reader see them."""
    files = [path for top in ("brats_mm", "apps/service") for path in (ROOT / top).rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(files))
    text = re.sub(r'["\']\s*\n\s*(?:#[^\n]*\n\s*)*f?["\']', "", text)
    return re.sub(r"\{[^{}]*\}", "{}", text)


SOURCE = source_text()


@pytest.mark.parametrize("quote", QUOTES)
def test_quoted_message_exists(quote):
    """Dots and numbers stand for values, and parts between commas and colons can come from different literals."""
    parts = [part.strip(" .,:") for part in re.split(r"\.\.\.|\d+(?:\.\d+)?|, |: ", quote)]
    missing = [part for part in parts if len(part) > 3 and part not in SOURCE and part not in OF_SYSTEM]
    assert not missing, missing


def test_page_quotes_many_messages():
    assert len(QUOTES) > 40


READING = [
    *(
        path
        for folder in ("io", "io/formats", "io/dicom", "preprocessing")
        for path in (ROOT / "brats_mm" / folder).glob("*.py")
    ),
    *(ROOT / "brats_mm" / "pipeline" / name for name in ("load.py", "check.py")),
]
"""Modules that read or check input. Those of bundles have their own page."""

OF_VALUES = {"space directions or space origin", "data follow the end of the stream", "the stream ends early"}
"""Parts of messages, and names of header fields."""


def text_of(node):
    """Return the text of a literal, with braces for values. None for other expressions."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def messages_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        values = []
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "message" for target in node.targets):
            values = [node.value]
        elif isinstance(node, ast.Call) and re.search("Error$|^_zip_error$", getattr(node.func, "id", "")):
            values = [*node.args, *(keyword.value for keyword in node.keywords)]
        yield from (text for text in map(text_of, values) if text and len(re.sub("[{}. ]", "", text)) > 15)


@pytest.mark.parametrize("path", [path for path in READING if "bundle" not in path.name], ids=lambda path: path.name)
def test_page_answers_every_message(path):
    """A message is answered if the page quotes a part of it that has more than six letters."""
    parts = [part.strip(" .,:") for quote in QUOTES for part in re.split(r"\.\.\.|\d+(?:\.\d+)?|, |: ", quote)]
    known = [part for part in parts if len(part) > 6]
    unanswered = [
        text for text in messages_of(path) if text not in OF_VALUES and not any(part in text for part in known)
    ]
    assert not unanswered, unanswered
