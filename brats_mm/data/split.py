"""Split cases into training and validation: by share, by folds, by names, or by published lists of names or folds.

All scans of a patient go to the same section. In names like `BraTS-GLI-00005-100`, the first number is the patient.
"""

import ast
import csv
import json
import random
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from brats_mm.domain.counting import format_count
from brats_mm.errors import CaseError, OptionError

_TIMEPOINT = re.compile(r"(?P<patient>BraTS-[A-Za-z]+-\d+)-\d{3}")

MAX_SHOWN = 5
"""Maximum number of names in an error."""


def parse_patient(name: str) -> str:
    """Return the patient in a case name of BraTS 2023 and later, or else the case name."""
    match = _TIMEPOINT.fullmatch(name)
    return match["patient"] if match else name


def choose_validation_share(names: Sequence[str], share: float, *, seed: int) -> frozenset[str]:
    """Return the case names of a random fraction of the patients: at least one patient, but not all.

    Args:
        names: case names.
        share: fraction of the patients, above 0 and below 1.
        seed: random seed.

    Raises:
        OptionError: the share is not between 0 and 1, or there are too few patients to split.
    """
    if not 0 < share < 1:
        raise OptionError(f"The validation share is {share:g}. It must be between 0 and 1, such as 0.2.")
    patients = _shuffle_patients(names, seed, at_least=2)
    count = min(max(1, round(share * len(patients))), len(patients) - 1)
    return _select_cases(patients[:count], names)


def choose_validation_folds(names: Sequence[str], folds: int, *, seed: int) -> tuple[frozenset[str], ...]:
    """Return the validation names of each fold. Each case is in exactly one fold.

    Args:
        names: case names.
        folds: number of folds, at least 2.
        seed: random seed.

    Raises:
        OptionError: the number of folds is invalid or exceeds the number of patients.
    """
    if folds < 2:
        raise OptionError(f"The number of folds is {folds}. It must be at least 2.")
    patients = _shuffle_patients(names, seed, at_least=folds)
    return tuple(_select_cases(patients[fold::folds], names) for fold in range(folds))


def read_names(path: Path, case_names: Collection[str]) -> tuple[frozenset[str], ...]:
    """Read the case names of a published list: one set, or one set per bracketed line.

    Formats in use: a text file with one name per line (RFNet, M2FTrans, DeMoSeg), optionally with a prefix and an
    underscore (`HG_BraTS20_Training_005`) or as a path (.csv of mmFormer and ShaSpec), a table with a column `case`
    (IM-Fuse, MST-KDNet: `case,mask`), and a bracketed line per part, training first (`3folds.txt` of mmFormer). Empty
    lines are skipped.

    Raises:
        CaseError: the file cannot be read, or lists unknown cases.
    """
    try:
        lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        parts = [list(part) for part in _parse_parts(lines)]
    except (OSError, ValueError, SyntaxError) as error:
        raise CaseError(
            f"The list of names {path} cannot be read ({error}). Provide a text file with one case name per line."
        ) from error
    return _match_parts(path, parts, case_names)


def is_nnunet_splits(path: Path) -> bool:
    """Return whether a file of folds has the format of nnU-Net's `splits_final.json`, by its ending."""
    return path.suffix.lower() == ".json"


def read_nnunet_splits(path: Path, case_names: Collection[str]) -> tuple[tuple[frozenset[str], frozenset[str]], ...]:
    """Read the folds of nnU-Net's `splits_final.json`: a list with the names `train` and `val` of each fold.

    Returns:
        The names of the training cases and of the validation cases of each fold.

    Raises:
        CaseError: the file cannot be read or has no fold, lists unknown cases, or a fold trains on a validation case.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        folds = [(list(map(str, fold["train"])), list(map(str, fold["val"]))) for fold in content]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CaseError(
            f"{path} does not contain nnU-Net folds ({error!r}). Provide a list of objects with the keys train and val."
        ) from error
    if not folds or not all(train and val for train, val in folds):
        raise CaseError(
            f"{path} has {'a fold without cases' if folds else 'no fold'}. Each fold needs train and val cases."
        )
    result = []
    for number, fold in enumerate(folds):
        training, validation = _match_parts(path, fold, case_names)
        if training & validation:
            shared_names = ", ".join(sorted(training & validation)[:MAX_SHOWN])
            raise CaseError(
                f"Fold {number} of {path} has {shared_names} in both train and val. Put each case into one of them."
            )
        result.append((training, validation))
    return tuple(result)


def _match_parts(path: Path, parts: Sequence[Sequence[str]], case_names: Collection[str]) -> tuple[frozenset[str], ...]:
    known_names = {name: _match_name(name, case_names) for part in parts for name in part}
    unknown = sorted(name for name, case in known_names.items() if case is None)
    if unknown:
        raise CaseError(
            f"{path} lists {format_count(len(unknown), 'case')} without a label map in the folder: "
            f"{', '.join(unknown[:MAX_SHOWN])}. Provide the folder that belongs to the list."
        )
    return tuple(frozenset(case for name in part if (case := known_names[name]) is not None) for part in parts)


def _parse_parts(lines: list[str]) -> Iterator[Iterator[str]]:
    if lines and all(line.lstrip().startswith("[") for line in lines):
        for line in lines:
            yield (_extract_last_part(str(name)) for name in ast.literal_eval(line.strip()))
        return
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines)]
    column = rows[0].index("case") if rows and "case" in rows[0] else None
    data_rows = rows if column is None else rows[1:]
    yield (_extract_last_part(row[column or 0]) for row in data_rows)


def _extract_last_part(name: str) -> str:
    return name.strip().rstrip("/").rsplit("/", 1)[-1]


def _match_name(line: str, case_names: Collection[str]) -> str | None:
    if line in case_names:
        return line
    ends = [name for name in case_names if line.endswith(f"_{name}")]
    return max(ends, key=len, default=None)


def _shuffle_patients(names: Sequence[str], seed: int, *, at_least: int) -> list[str]:
    patients = sorted({parse_patient(name) for name in names})
    if len(patients) < at_least:
        raise OptionError(
            f"There are labelled cases of {len(patients)} patients, but this split needs at least {at_least}."
        )
    random.Random(seed).shuffle(patients)
    return patients


def _select_cases(patients: Collection[str], names: Sequence[str]) -> frozenset[str]:
    return frozenset(name for name in names if parse_patient(name) in patients)
