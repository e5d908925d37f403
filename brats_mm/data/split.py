"""Dividing cases into training and validation: by share, by folds, by names, or by published lists of names.

Whoever was scanned twice is on one side only: in names like `BraTS-GLI-00005-100`, the first number is the patient.
"""

import random
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from brats_mm.errors import CaseError, OptionError

_TIMEPOINT = re.compile(r"(?P<patient>BraTS-[A-Za-z]+-\d+)-\d{3}")

SHOWN = 5
"""So many names stand in an error."""


def patient_of(name: str) -> str:
    """Whom a case is of, by its name: BraTS 2023 and later number the scans of a patient; otherwise the name itself."""
    found = _TIMEPOINT.fullmatch(name)
    return found["patient"] if found else name


def validation_share(names: Sequence[str], share: float, *, seed: int) -> frozenset[str]:
    """Names of a random share of the patients, at least one, and not all.

    Raises:
        OptionError: the share is not between 0 and 1, or there are too few patients to divide.
    """
    if not 0 < share < 1:
        message = f"The share for validation is {share:g}; it must lie between 0 and 1, such as 0.2."
        raise OptionError(message)
    patients = _shuffled_patients(names, seed, at_least=2)
    count = min(max(1, round(share * len(patients))), len(patients) - 1)
    return _cases_of(patients[:count], names)


def validation_folds(names: Sequence[str], folds: int, *, seed: int) -> tuple[frozenset[str], ...]:
    """The validation names of each fold; each case is in one of them.

    Raises:
        OptionError: there is no such number of folds, or there are fewer patients than folds.
    """
    if folds < 2:
        message = f"The number of folds is {folds}; it must be at least 2."
        raise OptionError(message)
    patients = _shuffled_patients(names, seed, at_least=folds)
    return tuple(_cases_of(patients[fold::folds], names) for fold in range(folds))


def read_names(path: Path, known: Collection[str]) -> frozenset[str]:
    """The cases that a text file lists, one name a line.

    A line may be a path, whose last part counts, and may stand in front of the name what its list's author put there
    with an underscore (`HGG_Brats18_CBICA_AAB_1`). Empty lines are skipped.

    Raises:
        CaseError: the file cannot be read, or lists what is not known.
    """
    try:
        lines = [line.strip().rstrip("/").rsplit("/", 1)[-1] for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        message = f"The list of names {path} cannot be read ({error}). Give a text file with one case name a line."
        raise CaseError(message) from error
    found = {line: _known_name(line, known) for line in lines if line}
    absent = sorted(line for line, name in found.items() if name is None)
    if absent:
        message = (
            f"{path} lists {len(absent)} cases that the folder does not have labelled: {', '.join(absent[:SHOWN])}. "
            "Give the folder that belongs to the list."
        )
        raise CaseError(message)
    return frozenset(name for name in found.values() if name is not None)


def _known_name(line: str, known: Collection[str]) -> str | None:
    if line in known:
        return line
    ends = [name for name in known if line.endswith(f"_{name}")]
    return max(ends, key=len, default=None)


def _shuffled_patients(names: Sequence[str], seed: int, *, at_least: int) -> list[str]:
    patients = sorted({patient_of(name) for name in names})
    if len(patients) < at_least:
        message = f"There are labelled cases of {len(patients)} patients; this division needs at least {at_least}."
        raise OptionError(message)
    random.Random(seed).shuffle(patients)
    return patients


def _cases_of(patients: Collection[str], names: Sequence[str]) -> frozenset[str]:
    return frozenset(name for name in names if patient_of(name) in patients)
