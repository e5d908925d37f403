"""Parse settings from MONAI's command line, which passes `true` and `false` as strings and drops empty values."""

from pathlib import Path

from brats_mm.errors import OptionError

_MEANINGS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def parse_bool(value: bool | int | str) -> bool:  # noqa: FBT001 (the value to parse)
    """Parse a setting that is true or false.

    Raises:
        OptionError: the value is neither true nor false.
    """
    text = str(value).strip().lower()
    if text not in _MEANINGS:
        raise OptionError(f"Expected true or false, got {value!r}.")
    return _MEANINGS[text]


def parse_path(path: Path | str | None) -> Path | None:
    """Parse an optional path. None and the word `none` both mean no path."""
    return None if path is None or str(path).lower() == "none" else Path(path)
