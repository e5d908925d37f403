"""File names of any encoding become text that UTF-8 can encode."""

import pytest

from brats_mm.domain.encodable import make_encodable


@pytest.mark.parametrize(
    ("stored", "expected"),
    [(b"case-1", "case-1"), (b"M\xfcller", "Müller"), ("Müller".encode(), "Müller"), ("患者".encode(), "患者")],
    ids=["ASCII", "Latin-1", "UTF-8", "Chinese"],
)
@pytest.mark.parametrize("locale", ["utf-8", "ascii"])
def test_names_are_readable_in_every_locale(stored, expected, locale):
    assert make_encodable(stored.decode(locale, "surrogateescape")) == expected
