"""Headers and grid of the series that DICOM results refer to, without voxels."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from brats_mm.domain.volume import Grid
from brats_mm.errors import VolumeError
from brats_mm.io.dicom.series import Series
from brats_mm.io.dicom.slices import Slice
from brats_mm.io.dicom.suppress_warnings import suppress_warnings
from brats_mm.io.dicom.values import read_number

_OPTIONAL_ATTRIBUTES = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
"""Attributes that every object must have, even if empty. Some files lack them or have invalid values."""
_CHARACTERS = "SpecificCharacterSet"


@dataclass(frozen=True, eq=False)
class SourceSeries:
    """A DICOM series that result objects refer to.

    Attributes:
        images: pydicom datasets without voxels: one per slice, or a single multi-frame image.
        slices: the slices in the order of the frames of results.
        indices: index of each slice along the grid's third axis.
        grid: grid of the volume, including missing slices.
    """

    images: tuple[Any, ...] = field(repr=False)  # they contain names
    slices: tuple[Slice, ...] = field(repr=False)
    indices: tuple[int, ...]
    grid: Grid

    @property
    def instance_uids(self) -> tuple[str, ...]:
        """SOP Instance UIDs of the files."""
        return tuple(str(image.SOPInstanceUID) for image in self.images)

    @property
    def is_multiframe(self) -> bool:
        """Whether all slices are in one file."""
        return len(self.images) == 1 and int(self.images[0].get("NumberOfFrames") or 1) > 1

    @property
    def is_whole(self) -> bool:
        """Whether the slices are exactly the frames of the files, in their order."""
        if not self.is_multiframe:
            return len(self.images) == len(self.slices)
        return [item.frame for item in self.slices] == list(range(int(self.images[0].NumberOfFrames)))

    def frames(self, data: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return voxels on the grid, (columns, rows, slices), as frames, (slices, rows, columns)."""
        return np.ascontiguousarray(data.transpose(2, 1, 0)[list(self.indices)])

    def select_slice(self, index: int) -> "SourceSeries":
        """Return the series with only one of its slices.

        Args:
            index: position of the slice in `slices`.
        """
        images = self.images if self.is_multiframe else (self.images[index],)
        return replace(self, images=images, slices=(self.slices[index],), indices=(self.indices[index],))


def read_source(series: Series) -> SourceSeries:
    """Read the headers of a series.

    Raises:
        VolumeError: the slices form no volume, or the headers lack attributes that results need.
    """
    layout = series.layout
    if layout.grid is None or layout.fault:
        raise VolumeError(
            f"{series.title} cannot be the reference of DICOM results: {layout.fault}. Select another series."
        )
    paired = list(zip(layout.slices, layout.indices, strict=True))
    if layout.slices[0].stored.frames > 1:
        paired.sort(key=lambda pair: pair[0].frame)
    slices, indices = tuple(pair[0] for pair in paired), tuple(pair[1] for pair in paired)
    with suppress_warnings():
        step_mm = float(np.linalg.norm(layout.grid.affine[:3, 2]))
        images = tuple(_read_header(path, step_mm) for path in dict.fromkeys(item.path for item in slices))
        _check(images, series.title)
    return SourceSeries(images, slices, indices, layout.grid)


def _read_header(path: Path, step_mm: float) -> Any:
    """Read a header and repair attributes that DICOM results need."""
    import pydicom

    image = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    for keyword in _OPTIONAL_ATTRIBUTES:
        if keyword not in image or not _is_allowed(image, keyword):
            setattr(image, keyword, "")
    _convert_to_utf8(image)
    _mend_thickness(image, step_mm)
    _share_geometry(image)
    return image


def _convert_to_utf8(image: Any) -> None:
    """Decode all text, so that results are in UTF-8. highdicom rejects several character sets, as in Japanese names."""
    if not _is_allowed(image, _CHARACTERS):
        del image[_CHARACTERS]
    if image.get(_CHARACTERS):
        image.decode()
        image.SpecificCharacterSet = "ISO_IR 192"


def _share_geometry(image: Any) -> None:
    """Copy spacing and orientation from the first frame to the shared functional groups, where highdicom expects them.

    Philips repeats them for each frame. Frames of other volumes do not matter, see `build_geometry`.
    """
    from pydicom import Dataset
    from pydicom import Sequence as DicomSequence

    frames: Sequence[Any] = image.get("PerFrameFunctionalGroupsSequence") or ()
    if not len(frames):
        return
    if not len(image.get("SharedFunctionalGroupsSequence") or ()):
        image.SharedFunctionalGroupsSequence = DicomSequence([Dataset()])
    shared = image.SharedFunctionalGroupsSequence[0]
    for keyword in ("PixelMeasuresSequence", "PlaneOrientationSequence"):
        if keyword not in shared and keyword in frames[0]:
            setattr(shared, keyword, frames[0][keyword].value)


def _mend_thickness(image: Any, step_mm: float) -> None:
    """Replace a missing or invalid Slice Thickness by the distance of the slices."""
    groups = [
        *(image.get("SharedFunctionalGroupsSequence") or ()),
        *(image.get("PerFrameFunctionalGroupsSequence") or ()),
    ]
    measures = [measure for group in groups for measure in group.get("PixelMeasuresSequence") or ()]
    for holder in measures or [image]:
        if (read_number(holder, "SliceThickness") or 0) <= 0:
            holder.SliceThickness = round(step_mm, 6)


def _is_allowed(image: Any, keyword: str) -> bool:
    """Return whether DICOM allows the value of an attribute. highdicom rejects other values."""
    from highdicom import PatientSexValues, SpecificCharacterSetValues
    from pydicom.datadict import dictionary_VR
    from pydicom.valuerep import DA, TM

    enumerations: dict[str, Any] = {"PatientSex": PatientSexValues, _CHARACTERS: SpecificCharacterSetValues}
    form: Any = enumerations.get(keyword) or {"DA": DA, "TM": TM}.get(dictionary_VR(keyword), str)
    try:
        value = image.get(keyword) or ""
        for item in (value,) if isinstance(value, str) or not isinstance(value, Sequence) else value:
            if str(item):
                form(item)
    except Exception:  # noqa: BLE001 (pydicom and highdicom raise many types, and their messages quote the value)
        return False
    return True


def _check(images: Sequence[Any], title: str) -> None:
    required = ("SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
    missing = [keyword for keyword in required if not all(image.get(keyword) for image in images)]
    if missing:
        raise VolumeError(
            f"DICOM results cannot refer to {title}: its headers lack {', '.join(missing)}. "
            "Send the original series of the scanner, or omit --dicom."
        )
    if len(images) > 1 and any(int(image.get("NumberOfFrames") or 1) > 1 for image in images):
        raise VolumeError(
            f"DICOM results cannot refer to {title}, because its slices are in several multi-frame files. Select "
            "another series, or omit --dicom."
        )


def build_geometry(source: SourceSeries) -> dict[str, Any]:
    """Return the geometry arguments of a highdicom constructor.

    There are none if the frames equal those of the source. If a file also contains frames of another volume, such as a
    second echo, the position of each slice is given explicitly.
    """
    if source.is_whole:
        return {}
    from highdicom import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence

    first = source.slices[0]
    assert first.along is not None and first.down is not None and first.spacing_mm is not None  # noqa: PT018
    step_mm = float(np.linalg.norm(source.grid.affine[:3, 2]))
    return {
        "plane_positions": [
            PlanePositionSequence("PATIENT", item.position_mm) for item in source.slices if item.position_mm is not None
        ],
        "plane_orientation": PlaneOrientationSequence("PATIENT", (*first.along, *first.down)),
        "pixel_measures": PixelMeasuresSequence(first.spacing_mm, first.thickness_mm or step_mm, step_mm),
    }
