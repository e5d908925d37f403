"""Escape text in CSV tables to prevent spreadsheets from running it as a formula."""

from typing import Any

_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def escape_formula(value: Any) -> Any:
    """Prepend an apostrophe to text that a spreadsheet would run as a formula. Other values are unchanged.

    >>> escape_formula("=1+1"), escape_formula("case_1"), escape_formula(-1.5)
    ("'=1+1", 'case_1', -1.5)
    """
    is_formula = isinstance(value, str) and value.lstrip(" '").startswith(_STARTS)
    return f"'{value}" if is_formula else value


def unescape_formula(text: str) -> str:
    """Invert `escape_formula`."""
    return text[1:] if text.startswith("'") and text[1:].lstrip(" '").startswith(_STARTS) else text
