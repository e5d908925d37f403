"""Find the DICOM images below a folder, and sort them into patients, studies and series."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from brats_mm.errors import CaseError, InputError
from brats_mm.io.dicom.header import NotAnImage, is_dicom, read_header
from brats_mm.io.dicom.series import Series, build_series, find_endings, label_series
from brats_mm.io.dicom.slices import FileHeader
from brats_mm.io.unfetched import FETCH, is_broken_link, is_unfetched

MAX_FILES = 100_000
_MAX_CHECKED = 500
_UNFETCHED = "a broken link or a pointer to a file that was not fetched"


@dataclass(frozen=True, eq=False)
class Study:
    """The series of one examination of one patient.

    Attributes:
        uid: Study Instance UID.
        label: ending of the UID that is unique among these studies.
        patients: number of patients in its files. More than one is a fault.
        series: series sorted by number.
    """

    uid: str
    label: str
    patients: int
    series: tuple[Series, ...]


@dataclass(frozen=True, eq=False)
class Scan:
    """The DICOM content of a folder.

    Attributes:
        studies: sorted by date.
        patients: number of patients.
        ignored: reason -> number of ignored files, and the name of one of them.
    """

    studies: tuple[Study, ...]
    patients: int
    ignored: dict[str, tuple[int, str]]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about missing files. Series may lack their slices."""
        count = self.ignored.get(_UNFETCHED, (0, ""))[0]
        if not count:
            return ()
        were = "1 file of the folder was" if count == 1 else f"{count} files of the folder were"
        return (f"{were} not fetched, so series may lack slices. {FETCH}",)

    def describe_ignored(self) -> dict[str, str]:
        """Return the reason for each group of ignored files. A group is named `name` or `name and 3 more`."""
        return {
            (name if count == 1 else f"{name} and {count - 1} more"): reason
            for reason, (count, name) in self.ignored.items()
        }


def holds_dicom(folder: Path) -> bool:
    """Return whether one of the first files below a folder looks like DICOM."""
    for count, path in enumerate(_iterate_files(folder)):
        if count >= _MAX_CHECKED:
            return False
        if is_dicom(path):
            return True
    return False


def scan(folder: Path) -> Scan:
    """Read the headers of all files below a folder.

    Raises:
        InputError: pydicom or ITK is not installed.
        CaseError: there is no DICOM image. The message describes the content of the folder.
    """
    require_dicom()
    headers, ignored = _read_headers(folder)
    if not headers:
        raise CaseError(_describe_no_image(folder, ignored))
    unique, doubled = _drop_duplicates(headers)
    by_study: dict[str, list[FileHeader]] = defaultdict(list)
    for header in unique:
        by_study[header.identity.study_uid].append(header)
    labels = find_endings(by_study)
    studies = [_build_study(uid, labels[uid], members, doubled) for uid, members in by_study.items()]
    dates = {uid: min(header.identity.study_date for header in members) for uid, members in by_study.items()}
    studies.sort(key=lambda study: (dates[study.uid], study.uid))
    return Scan(tuple(studies), len({header.identity.patient for header in unique}), ignored)


def require_dicom() -> None:
    """Raise InputError if pydicom or ITK is not installed."""
    from importlib.util import find_spec

    missing = [name for name in ("pydicom", "itk") if find_spec(name) is None]
    if missing:
        raise InputError(
            f'This is DICOM, which needs {" and ".join(missing)}. Run: pip install "brats-mm[dicom]", '
            "or convert the series to NIfTI first."
        )


def _iterate_files(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder in a fixed order, without following links to other folders."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        for name in sorted(names):
            path = Path(parent) / name
            if not name.startswith(".") and (path.is_file() or is_broken_link(path)):
                yield path


def _read_headers(folder: Path) -> tuple[list[FileHeader], dict[str, tuple[int, str]]]:
    headers: list[FileHeader] = []
    passed_over: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for count, path in enumerate(_iterate_files(folder)):
        if count >= MAX_FILES:
            raise CaseError(f"{folder} holds more than {MAX_FILES:,} files. Provide the folder of one study.")
        try:
            headers.append(read_header(path))
        except NotAnImage as error:
            reason = _UNFETCHED if is_unfetched(path) else str(error)
            passed_over[reason] += 1
            examples.setdefault(reason, path.name)  # folder names often contain patient names
    return headers, {reason: (count, examples[reason]) for reason, count in passed_over.items()}


def _drop_duplicates(headers: Sequence[FileHeader]) -> tuple[list[FileHeader], Counter[str]]:
    """Remove duplicates. Return the remaining headers, and the number of duplicates by series."""
    seen_uids: set[str] = set()
    unique: list[FileHeader] = []
    doubled: Counter[str] = Counter()
    for header in headers:
        uid = header.slices[0].instance_uid
        if uid and uid in seen_uids:
            doubled[header.identity.series_uid] += 1
            continue
        seen_uids.add(uid)
        unique.append(header)
    return unique, doubled


def _build_study(uid: str, label: str, headers: Sequence[FileHeader], doubled: Counter[str]) -> Study:
    by_series: dict[str, list[FileHeader]] = defaultdict(list)
    for header in headers:
        by_series[header.identity.series_uid].append(header)
    series: list[Series] = []
    for series_uid, members in by_series.items():
        copies = doubled[series_uid]
        notes = (f"{copies} of its files were duplicates and were ignored",) if copies else ()
        series += build_series(members, notes)
    series.sort(key=lambda item: (_find_number(item), item.identity.series_uid, item.part))
    patients = len({header.identity.patient for header in headers})
    return Study(uid, label, patients, label_series(series))


def _find_number(series: Series) -> int:
    number = series.identity.series_number
    return 1 << 30 if number is None else number


def _describe_no_image(folder: Path, ignored: dict[str, tuple[int, str]]) -> str:
    reasons = "; ".join(f"{count} of its files: {reason}" for reason, (count, _) in list(ignored.items())[:4])
    contents = f" ({reasons})" if reasons else ", and no other file"
    return (
        f"{folder} contains no DICOM image{contents}. Provide the folder with the images of the study, "
        "or NIfTI files with --t1, --t1ce, --t2, --flair."
    )


def select_study(scanned: Scan, label: str | None = None) -> Study:
    """Return the study selected by the user, or the only study.

    Args:
        scanned: content of a folder.
        label: a Study Instance UID, or its start or end.

    Raises:
        CaseError: not exactly one study matches, or its files belong to several patients.
    """
    if label is not None:
        matches = [study for study in scanned.studies if matches_uid(study.uid, label)]
        if len(matches) != 1:
            count = "No study has" if not matches else f"{len(matches)} studies have"
            raise CaseError(
                f"{count} a UID that begins or ends with {label!r}. Available studies: {_join_labels(scanned.studies)}."
            )
        study = matches[0]
    elif len(scanned.studies) > 1:
        patients = "one patient" if scanned.patients == 1 else f"{scanned.patients} patients"
        raise CaseError(
            f"The folder holds {len(scanned.studies)} studies of {patients}: {_join_labels(scanned.studies)}. Select "
            "one with --study and the end of its UID, or provide only its folder."
        )
    else:
        study = scanned.studies[0]
    if study.patients > 1:
        raise CaseError(
            f"The files of study …{study.label} belong to {study.patients} patients. Sort them into one folder per "
            "patient."
        )
    return study


def matches_uid(uid: str, label: str) -> bool:
    """Return whether a UID equals, begins with or ends with `label`."""
    label = label.strip().lstrip("….")
    return bool(label) and (uid == label or uid.startswith(label) or uid.endswith(label))


def _join_labels(studies: Sequence[Study]) -> str:
    labels = [f"…{study.label} ({len(study.series)} series)" for study in studies[:8]]
    return ", ".join(labels) + (f" and {len(studies) - 8} more" if len(studies) > 8 else "")
