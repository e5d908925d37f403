"""Time points in file names: BIDS sessions, dates, numbered visits, and words such as baseline."""

import re
from collections.abc import Iterable

_START, _END = r"(?<![a-z0-9])", r"(?![a-z0-9])"
_PATTERNS = {
    "session": re.compile(rf"{_START}ses-([a-z0-9]+)"),
    "date": re.compile(
        r"(?<!\d)((?:19|20)\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])(?!\d)"  # a time may follow as T093000
    ),
    "folder of a year": re.compile(r"^((?:19|20)\d\d)/"),
    "visit": re.compile(
        rf"{_START}(session|visit|time ?point|tp|time|week|wk|month|year|day|follow ?up|fu)[-_ ]?0*(\d{{1,4}}){_END}"
    ),
    "interval": re.compile(rf"{_START}0*(\d{{1,3}})[-_ ]?(days?|weeks?|wks?|months?|mo|years?){_END}"),
    "stage": re.compile(rf"{_START}(baseline|follow[-_ ]?up|pre[-_ ]?op|post[-_ ]?op|pre[-_ ]?rt|post[-_ ]?rt){_END}"),
}


def find_time_points(name: str) -> dict[str, str]:
    """Return the time points that a file name states, by kind.

    Args:
        name: path below the folder of the case, with forward slashes.

    >>> find_time_points("P1_2019-03-01_t1.nii.gz")
    {'date': '20190301'}
    >>> find_time_points("sub-01_ses-post_FLAIR.nii.gz")
    {'session': 'post'}
    """
    lower = name.lower()
    return {
        kind: "".join(re.sub(r"[-_ ]", "", part) for part in match.groups())
        for kind, pattern in _PATTERNS.items()
        if (match := pattern.search(lower)) is not None
    }


def differ_in_time(names: Iterable[str]) -> bool:
    """Return whether file names state different time points of one kind. Names without a time point agree with all."""
    stated: dict[str, set[str]] = {}
    for name in names:
        for kind, value in find_time_points(name).items():
            stated.setdefault(kind, set()).add(value)
    return any(len(values) > 1 for values in stated.values())
