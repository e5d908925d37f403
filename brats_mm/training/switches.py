"""Settings as people type them: MONAI's command line hands `true` and `false` on as words, and drops an empty one."""

from pathlib import Path

from brats_mm.errors import OptionError

_MEANINGS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def yes(value: bool | int | str) -> bool:  # noqa: FBT001 (the value is what is asked about)
    """Whether a setting is on.

    Raises:
        OptionError: the word says neither yes nor no.
    """
    word = str(value).strip().lower()
    if word not in _MEANINGS:
        message = f"A setting that is on or off was given {value!r}; give true or false."
        raise OptionError(message)
    return _MEANINGS[word]


def named(path: Path | str | None) -> Path | None:
    """The path that a setting names; None where it is left out or, as MONAI's command line must have it, `none`."""
    return None if path is None or str(path).lower() == "none" else Path(path)
