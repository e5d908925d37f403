"""Parse settings from MONAI's command line, which passes `true` and `false` as strings and drops empty values."""

from pathlib import Path

from brats_mm.errors import OptionError

TRUE = ("true", "yes", "on", "1")
FALSE = ("false", "no", "off", "0")


def parse_bool(value: bool | int | str) -> bool:  # noqa: FBT001 (the value to parse)
    """Parse a setting that is true or false.

    Raises:
        OptionError: the value is neither true nor false.
    """
    text = str(value).strip().lower()
    if text not in (*TRUE, *FALSE):
        raise OptionError(f"Expected true or false, got {value!r}.")
    return text in TRUE


def parse_path(path: Path | str | None) -> Path | None:
    """Parse an optional path. None and the word `none` both mean no path."""
    return None if path is None or str(path).lower() == "none" else Path(path)
