"""A DICOM study uploaded as a zip: keep the series that the job needs, chosen by their headers.

pydicom, which is pure Python, reads the headers here. Voxels are decoded in the worker.
"""

from pathlib import Path

from brats_mm.domain.availability import sort_modalities
from brats_mm.domain.modality import Modality
from brats_mm.errors import InputError
from brats_mm.io.dicom.series import Series
from brats_mm.pipeline.dicom_study import SeriesOverrides, choose_series
from brats_mm_service.problems import Problem, find_error_kind
from brats_mm_service.uploads.sorted_upload import SortedUpload


def store_study(unpacked: Path, folder: Path, overrides: SeriesOverrides) -> SortedUpload:
    """Choose the series of an unpacked study and move the files of each to `folder/<sequence>`.

    Raises:
        Problem: there is no usable series, or the caller must choose.
    """
    try:
        study = choose_series(unpacked, overrides)
    except InputError as error:
        raise Problem(find_error_kind(error), use_request_terms(str(error), unpacked)) from error
    stored: dict[str, str] = {}
    moved: dict[Path, Path] = {}
    for modality in sort_modalities(study.choice.chosen):
        series = study.choice.chosen[modality]
        stored[modality.value] = _move(series, modality, folder, moved)
    notes = tuple(use_request_terms(note, unpacked) for note in study.files.notes)
    return SortedUpload(stored, study.files.ignored, notes)


def _move(series: Series, modality: Modality, folder: Path, moved: dict[Path, Path]) -> str:
    several = series.part and series.layout.slices[0].stored.frames > 1
    name = f"{modality.value}#{series.part}" if several else modality.value
    (folder / name).mkdir()
    for path in dict.fromkeys(item.path for item in series.layout.slices):
        target = folder / name / path.name
        if path in moved:  # one multi-frame file contains two of the sequences
            target.hardlink_to(moved[path])
        else:
            path.rename(target)
            moved[path] = target
    return name


def use_request_terms(sentence: str, folder: Path) -> str:
    """Replace the command-line options in a message with those of a request, and the folder with "the zip file"."""
    sentence = sentence.replace(str(folder), "the zip file")
    for modality in Modality:
        sentence = sentence.replace(f"--{modality.value} ", f"the option series.{modality.value} ")
    return sentence.replace("--study", "the option study")
