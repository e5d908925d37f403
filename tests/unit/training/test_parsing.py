"""Config settings parse booleans and optional paths from text."""

from pathlib import Path

import pytest

from brats_mm.errors import OptionError
from brats_mm.training.parsing import parse_bool, parse_path


@pytest.mark.parametrize(
    ("value", "meant"), [(True, True), ("true", True), ("False", False), (False, False), (0, False)]
)
def test_parses_booleans(value: bool | int | str, meant: bool) -> None:
    assert parse_bool(value) is meant


def test_rejects_other_words() -> None:
    with pytest.raises(OptionError, match="Expected true or false, got 'maybe'"):
        parse_bool("maybe")


@pytest.mark.parametrize("value", [None, "none", "None"])
def test_path_may_be_none(value: str | None) -> None:
    assert parse_path(value) is None


def test_other_words_are_paths() -> None:
    assert parse_path("nonesuch/experts") == Path("nonesuch/experts")
