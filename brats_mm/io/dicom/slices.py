"""Data classes of a DICOM header: slices with geometry and storage, and identity."""

from dataclasses import dataclass
from pathlib import Path

from brats_mm.io.dicom.facts import Physics

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Stored:
    """Storage of the voxels of a file.

    Attributes:
        rows, columns: size of a slice.
        frames: number of slices in the file.
        transfer_syntax: UID of the encoding.
        is_monochrome: one sample per voxel, dark to bright.
        is_lossy: whether compression changed the values.
    """

    rows: int
    columns: int
    frames: int = 1
    transfer_syntax: str = ""
    is_monochrome: bool = True
    is_lossy: bool = False


@dataclass(frozen=True)
class Slice:
    """A slice. Lengths are in millimetres. Positions and directions are in LPS patient space, as in DICOM.

    Attributes:
        path, frame: its file and index in it.
        instance_uid: SOP Instance UID of the file.
        number: Instance Number, or index of the frame.
        position_mm: centre of the first voxel. None if absent.
        along, down: directions along a row and down the rows. None if absent.
        spacing_mm: distance of rows and of columns. None if absent.
        thickness_mm: slice thickness.
        slope, intercept: value = stored * slope + intercept.
        stored: storage of the voxels in its file.
        echo_ms, image_type, stack_id: attributes that separate volumes of one series.
        acquisition, temporal, b_value, trigger_ms: attributes that separate volumes at the same position.
    """

    path: Path
    frame: int
    instance_uid: str
    number: int
    position_mm: Vector | None
    along: Vector | None
    down: Vector | None
    spacing_mm: tuple[float, float] | None
    stored: Stored
    thickness_mm: float | None = None
    slope: float = 1.0
    intercept: float = 0.0
    echo_ms: float | None = None
    image_type: tuple[str, ...] = ()
    stack_id: str = ""
    acquisition: int | None = None
    temporal: int | None = None
    b_value: float | None = None
    trigger_ms: float | None = None

    @property
    def is_placed(self) -> bool:
        """Whether the header gives its position."""
        return None not in (self.position_mm, self.along, self.down, self.spacing_mm)


@dataclass(frozen=True)
class Identity:
    """Patient, study and series of a file. The patient's key is a hash that only distinguishes patients.

    Attributes:
        patient, study_uid, series_uid: keys.
        frame_of_reference: frame of reference of positions, or empty.
        series_number: None if absent.
        study_date: YYYYMMDD, or empty.
    """

    patient: str
    study_uid: str
    series_uid: str
    frame_of_reference: str = ""
    series_number: int | None = None
    study_date: str = ""


@dataclass(frozen=True)
class FileHeader:
    """Header of a file: identity, physics, and its slices (one in a classic file)."""

    identity: Identity
    physics: Physics
    slices: tuple[Slice, ...] = ()
