"""Settings are understood as typed."""

from pathlib import Path

import pytest

from brats_mm.errors import OptionError
from brats_mm.training.parsing import parse_bool, parse_path


@pytest.mark.parametrize(
    ("value", "meant"), [(True, True), ("true", True), ("False", False), (False, False), (0, False)]
)
def test_words_and_values_mean_what_they_say(value: bool | int | str, meant: bool) -> None:
    assert parse_bool(value) is meant


def test_another_word_is_refused() -> None:
    with pytest.raises(OptionError, match="Expected true or false, got 'maybe'"):
        parse_bool("maybe")


@pytest.mark.parametrize("value", [None, "none", "None"])
def test_a_path_can_be_left_out(value: str | None) -> None:
    assert parse_path(value) is None


def test_any_other_word_is_a_path() -> None:
    assert parse_path("nonesuch/experts") == Path("nonesuch/experts")
