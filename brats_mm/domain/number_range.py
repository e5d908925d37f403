"""Ranges of numeric options. Imports nothing heavy, because commands check their options first."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from brats_mm.errors import OptionError


@dataclass(frozen=True)
class Range:
    """Valid values of a numeric option.

    Attributes:
        words: description of the valid values, for the message.
        low: smallest valid value.
        high: largest valid value.
        open: whether `low` and `high` themselves are invalid.
    """

    words: str
    low: float | int
    high: float | int = math.inf
    open: bool = False

    def __contains__(self, value: float | int) -> bool:
        """Return whether a value is valid. NaN and infinite values never are."""
        inside = self.low < value < self.high if self.open else self.low <= value <= self.high
        return math.isfinite(value) and inside


ABOVE_ZERO = Range("a positive number", 0, open=True)
ZERO_OR_MORE = Range("0 or a positive number", 0)
FROM_ONE = Range("a number of at least 1", 1)
SHARE = Range("a number from 0 to 1", 0, 1)
FOLDS = Range("a whole number of at least 2", 2)
OPEN_SHARE = Range("a number between 0 and 1", 0, 1, open=True)
SEED = Range("a whole number from 0 to 4294967295", 0, 2**32 - 1)


def check_numbers(options: object, ranges: Mapping[str, Range]) -> None:
    """Reject invalid values of numeric options. Options that are None are skipped.

    Args:
        options: object with the options as attributes.
        ranges: valid values by attribute, the option with underscores. Each of several values is checked.

    Raises:
        OptionError: a value is invalid.
    """
    for name, valid in ranges.items():
        value = getattr(options, name)
        for number in value if isinstance(value, list | tuple) else [value]:
            if number is not None and number not in valid:
                raise OptionError(f"--{name.replace('_', '-')} is {number:g}. Use {valid.words}.")
