"""A DICOM study as a case: opened, its series told apart and chosen, read as scans on the grids that they came on."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from brats_mm.domain.availability import ordered
from brats_mm.domain.case import CaseFiles, Scans
from brats_mm.domain.lattice import share_lattice
from brats_mm.domain.modality import Modality
from brats_mm.errors import CaseError
from brats_mm.io.dicom.choice import Choice, choose, require_unambiguous
from brats_mm.io.dicom.header import is_dicom
from brats_mm.io.dicom.one_series import read_series
from brats_mm.io.dicom.scan import Scan, Study, holds_dicom, one_study, scan
from brats_mm.io.suffixes import image_suffix
from brats_mm.io.zip import is_zip, unpack


@dataclass(frozen=True)
class SeriesWishes:
    """What the user says about the series of a study.

    Attributes:
        series: sequence -> series, by its UID, an end or a beginning of it, a label, or `none`.
        study: Study Instance UID, or an end or a beginning of it.
    """

    series: Mapping[Modality, str] = field(default_factory=dict)
    study: str | None = None


@dataclass(frozen=True, eq=False)
class ChosenStudy:
    """A study, and which of its series serve as which sequence.

    Attributes:
        scan: all that the folder holds.
        study: the one study of it.
        choice: its series.
    """

    scan: Scan
    study: Study
    choice: Choice

    @property
    def files(self) -> CaseFiles:
        """As of a case from files; in place of paths stand labels of series."""
        found = {modality: series.title for modality, series in self.choice.chosen.items()}
        ignored = {f"…{label}": reason for label, reason in self.choice.passed_over.items()}
        return CaseFiles("study", found, {**ignored, **self.scan.ignored_in_words()}, self.choice.notes)


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """The folder that a path stands for: itself, that of a DICOMDIR, or what is in a zip, as long as the block lasts.

    Raises:
        CaseError: there is nothing of that name, or it is a file of another kind.
        ZipError: the zip is damaged, hostile or too large.
    """
    if path.is_dir():
        yield path
    elif not path.exists():
        message = f"{path} does not exist. Give a folder, or a zip file, of one case."
        raise CaseError(message)
    elif is_zip(path):
        with tempfile.TemporaryDirectory(prefix="brats-mm-") as place:
            yield unpack(path, Path(place) / "unpacked").folder
    elif path.name.upper() == "DICOMDIR":
        yield path.parent
    else:
        what = "is one DICOM file" if is_dicom(path) else "is a file, and no zip archive"
        message = f"{path} {what}. Give the folder of one case, or single files, for example --t1ce FILE."
        raise CaseError(message)


def is_dicom_folder(folder: Path) -> bool:
    """Whether a folder holds DICOM and no volume files, itself or one level below."""
    if not folder.is_dir():
        return False
    near = [*folder.iterdir(), *(path for sub in folder.iterdir() if sub.is_dir() for path in sub.iterdir())]
    return not any(image_suffix(path.name) for path in near if path.is_file()) and holds_dicom(folder)


def choose_series(folder: Path, wishes: SeriesWishes | None = None) -> ChosenStudy:
    """Find the series of a study, by their headers alone.

    Raises:
        CaseError: there is no DICOM image, several studies or patients, or series tie; the message says how to choose.
        OptionError: a series that was named is not there.
    """
    said = wishes or SeriesWishes()
    found = scan(folder)
    study = one_study(found, said.study)
    return ChosenStudy(found, study, require_unambiguous(choose(study, said.series)))


def read_chosen(chosen: ChosenStudy) -> Scans:
    """Read the voxels of the chosen series.

    Raises:
        VolumeError: a series makes no volume, or cannot be decoded.
    """
    series = chosen.choice.chosen
    volumes = {modality: read_series(series[modality]) for modality in ordered(series)}
    return Scans("study", volumes, study_warnings(chosen.choice), chosen.files)


def study_warnings(choice: Choice) -> tuple[str, ...]:
    """What a reader of the results should know about the series; no words of the header, which may hold names."""
    found = []
    for modality, series in choice.chosen.items():
        found += [f"{modality.label}: {remark}." for remark in series.remarks]
        told = choice.reasons[modality] == "you named it"
        if not series.verdict.is_confident and not told:
            found.append(
                f"The series taken for {modality.label} is that with a confidence of "
                f"{series.verdict.confidence:.2f} only."
            )
    frames = {series.identity.frame_of_reference for series in choice.chosen.values()}
    if len(frames) > 1:
        found.append("The series do not share a frame of reference; the patient may have moved between them.")
    return tuple(found)


def grids_agree(choice: Choice) -> bool:
    """Whether the chosen series lie on one grid in one frame of reference, by their headers."""
    series = list(choice.chosen.values())
    grids = [one.grid for one in series if one.grid is not None]
    frames = {one.identity.frame_of_reference for one in series}
    return len(frames) <= 1 and (not grids or share_lattice(grids))
