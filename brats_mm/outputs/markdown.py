"""Tables and figures in Markdown."""

import math
from collections.abc import Sequence

NOTHING = "-"
"""Cell without a value."""


def format_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first column is aligned left and whose other columns are aligned right.

    >>> print(format_table(["region", "Dice"], [["WT", "90.1"]]))
    | region | Dice |
    |---|---:|
    | WT | 90.1 |
    """
    head_line, *lines = ("| " + " | ".join(cells) + " |" for cells in (head, *rows))
    return "\n".join([head_line, "|---|" + "---:|" * (len(head) - 1), *lines])


def format_figure(value: float | None, digits: int = 2, *, scale: int | float = 1) -> str:
    """Return a scaled number with a fixed number of digits, or a dash for None and NaN.

    >>> format_figure(0.90123, scale=100), format_figure(None)
    ('90.12', '-')
    """
    return NOTHING if value is None or math.isnan(value) else f"{scale * value:.{digits}f}"
