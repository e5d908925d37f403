"""File names as text that can be written."""


def make_encodable(text: str) -> str:
    """Return text that UTF-8 can encode, for records and tables.

    The system returns file names that are not UTF-8 with surrogates. They are read as Latin-1, as old archives use it.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        stored = text.encode("utf-8", "surrogateescape")
        try:
            return stored.decode("utf-8")
        except UnicodeDecodeError:
            return stored.decode("latin-1")
    return text
