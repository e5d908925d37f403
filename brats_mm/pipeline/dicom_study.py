"""Open a DICOM study as a case: choose its series and read them as scans on their own grids."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from brats_mm.domain.availability import sort_modalities
from brats_mm.domain.case import CaseFiles, Scans
from brats_mm.domain.lattice import share_lattice
from brats_mm.domain.modality import Modality
from brats_mm.domain.options import BidsFilter
from brats_mm.io.dicom.choice import Choice, choose, require_unambiguous
from brats_mm.io.dicom.one_series import read_series
from brats_mm.io.dicom.scan import Scan, Study, scan, select_study


@dataclass(frozen=True)
class SeriesOverrides:
    """Series or images selected by the user.

    Attributes:
        series: series of each sequence: a UID, its start or end, a label, or `none`.
        study: Study Instance UID, or its start or end.
        bids: selection from a BIDS dataset.
    """

    series: Mapping[Modality, str] = field(default_factory=dict)
    study: str | None = None
    bids: BidsFilter = BidsFilter()


@dataclass(frozen=True, eq=False)
class ChosenStudy:
    """A study with the chosen series of each sequence.

    Attributes:
        scan: content of the folder.
        study: the chosen study.
        choice: the chosen series.
    """

    scan: Scan
    study: Study
    choice: Choice

    @property
    def files(self) -> CaseFiles:
        """Return the study as `CaseFiles`, with series labels instead of paths."""
        titles = {modality: series.title for modality, series in self.choice.chosen.items()}
        names = {series.label: series.name for series in self.study.series}
        ignored = {names[label]: reason for label, reason in self.choice.passed_over.items()}
        return CaseFiles("study", titles, {**ignored, **self.scan.describe_ignored()}, self.choice.notes)


def choose_series(folder: Path, overrides: SeriesOverrides | None = None) -> ChosenStudy:
    """Choose the series of a study by their headers.

    Args:
        folder: folder of DICOM files.
        overrides: study and series selected by the user. None chooses automatically.

    Raises:
        CaseError: there is no DICOM image, there are several studies or patients, or the choice is ambiguous.
        OptionError: a named series does not exist.
    """
    choices = overrides or SeriesOverrides()
    result = scan(folder)
    study = select_study(result, choices.study)
    return ChosenStudy(result, study, require_unambiguous(choose(study, choices.series)))


def read_chosen(study: ChosenStudy) -> Scans:
    """Read the voxels of the chosen series.

    Raises:
        VolumeError: a series forms no volume or cannot be decoded.
    """
    series = study.choice.chosen
    volumes = {modality: read_series(series[modality]) for modality in sort_modalities(series)}
    return Scans("study", volumes, (*study.scan.warnings, *find_study_warnings(study.choice)), study.files)


def find_study_warnings(choice: Choice) -> tuple[str, ...]:
    """Return warnings about the series. They quote no header text, which can contain patient names."""
    warnings = []
    for modality, series in choice.chosen.items():
        warnings += [f"{modality.label}: {remark}." for remark in series.remarks]
        is_override = choice.reasons[modality] == "selected by the user"
        if not series.verdict.is_confident and not is_override:
            warnings.append(
                f"The series used as {modality.label} was classified with a confidence of only "
                f"{series.verdict.confidence:.2f}."
            )
    frames = {series.identity.frame_of_reference for series in choice.chosen.values()}
    if len(frames) > 1:
        warnings.append("The series do not share a frame of reference, so the patient may have moved between them.")
    return tuple(warnings)


def has_one_grid(choice: Choice) -> bool:
    """Return whether the chosen series have one grid and frame of reference, by their headers."""
    series = list(choice.chosen.values())
    grids = [item.grid for item in series if item.grid is not None]
    frames = {item.identity.frame_of_reference for item in series}
    return len(frames) <= 1 and (not grids or share_lattice(grids))
