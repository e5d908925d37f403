"""Read a folder that contains one DICOM series as a volume."""

from dataclasses import replace
from pathlib import Path

from brats_mm.domain.volume import Volume
from brats_mm.errors import CaseError, VolumeError
from brats_mm.io.dicom.pixels import read_layout
from brats_mm.io.dicom.scan import scan, select_study
from brats_mm.io.dicom.series import Series


def read_series_folder(folder: Path) -> Volume:
    """Read the only volume in a folder of DICOM files, of any sequence.

    A path ending in `#2` selects the second of several volumes.

    Raises:
        VolumeError: the folder does not hold exactly one volume, or it cannot be used.
    """
    try:
        scanned = scan(folder)
        series = select_study(scanned).series
    except CaseError as error:
        raise VolumeError(str(error)) from error
    _, _, part = folder.name.partition("#")
    if part:
        series = tuple(item for item in series if str(item.part) == part)
    if len(series) != 1:
        raise VolumeError(
            f"{folder.name} holds {len(series)} DICOM series or volumes, but a sequence needs exactly one. "
            "Provide the study folder as the input, and select the series with --t1, --t1ce, --t2, --flair."
        )
    volume = read_series(series[0])
    return replace(volume, notes=(*volume.notes, *(warning.rstrip(".") for warning in scanned.warnings)))


def read_series(series: Series) -> Volume:
    """Read the voxels of a series.

    Raises:
        VolumeError: its slices form no volume, or its voxels cannot be decoded.
    """
    return read_layout(series.layout, series.title if series.label else "The series")
