"""Numbers with their nouns."""

import pytest

from brats_mm.domain.counting import format_count


@pytest.mark.parametrize(("number", "text"), [(0, "0 labelled cases"), (1, "1 labelled case"), (2, "2 labelled cases")])
def test_noun_follows_number(number: int, text: str) -> None:
    assert format_count(number, "labelled case") == text
