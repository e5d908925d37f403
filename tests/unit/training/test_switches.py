"""On and off are understood as typed."""

import pytest

from brats_mm.errors import OptionError
from brats_mm.training.switches import yes


@pytest.mark.parametrize(
    ("value", "meant"), [(True, True), ("true", True), ("False", False), (False, False), (0, False)]
)
def test_words_and_values_mean_what_they_say(value: bool | int | str, meant: bool) -> None:
    assert yes(value) is meant


def test_another_word_is_refused() -> None:
    with pytest.raises(OptionError, match="was given 'maybe'; give true or false"):
        yes("maybe")
