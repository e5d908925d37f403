"""Load a case. Only this module distinguishes files, folders, zips, DICOM and images in memory."""

import errno
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brats_mm.domain.availability import Availability
from brats_mm.domain.case import Case, CaseFiles, Scans
from brats_mm.domain.modality import Modality
from brats_mm.domain.options import BidsFilter
from brats_mm.domain.volume import Volume
from brats_mm.errors import CaseError, InputError, OptionError, ResourceError
from brats_mm.io.case import read_scans
from brats_mm.io.case_files import is_four_dimensional
from brats_mm.io.dicom.header import is_dicom
from brats_mm.io.dicom.scan import holds_dicom
from brats_mm.io.memory import to_volume
from brats_mm.io.recognise import NO_DATASET, FilesSource, recognise
from brats_mm.io.suffixes import find_image_suffix
from brats_mm.io.volume import read_volume
from brats_mm.io.zip import is_zip, unpack
from brats_mm.pipeline.check import check_input
from brats_mm.pipeline.dicom_study import ChosenStudy, SeriesOverrides, choose_series, read_chosen
from brats_mm.pipeline.request import SegmentRequest

if TYPE_CHECKING:
    from brats_mm.outputs.dicom.results import DicomOutput
    from brats_mm.outputs.dicom.source import SourceSeries

CaseSource = FilesSource | Mapping[str, Any] | Mapping[Modality, Any] | Case | Scans
"""A folder, zip or DICOM study, a mapping from sequence to file or in-memory image, or a loaded case."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A loaded case.

    Attributes:
        case: the sequences, each on its own grid. A given `Case` is used unchanged.
        files: source files of the sequences, and ignored files. None for in-memory input.
        dicom: settings and sources of DICOM results. None if none were requested.
        seconds: seconds per stage.
        series: sequences that were read from DICOM series.
    """

    case: Scans | Case
    files: CaseFiles | None = None
    dicom: "DicomOutput | None" = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    series: Availability = frozenset()


@contextmanager
def convert_access_errors() -> Iterator[None]:
    """Raise an `OSError` about a path of the input as a `CaseError`, so that it is not taken for one of the output."""
    try:
        yield
    except OSError as error:
        if error.filename is None or error.errno in (errno.ENOMEM, errno.EMFILE, errno.ENFILE):
            raise
        raise CaseError(
            f"{error.filename} could not be accessed: {error.strerror or error}. Check the path and its permissions."
        ) from error


@convert_access_errors()
def load(request: SegmentRequest) -> Loaded:
    """Read the sequences of a request's input.

    Raises:
        InputError: the input cannot be used, or the options do not match it.
    """
    start = time.perf_counter()
    case, headers, series = _read(request)
    dicom = _make_dicom_output(request, headers)
    return Loaded(case, case.files, dicom, {"read": time.perf_counter() - start}, series)


def _read(request: SegmentRequest) -> "tuple[Scans | Case, Mapping[Modality, SourceSeries], Availability]":
    """Return the case, the headers of its DICOM series if results refer to them, and the set of DICOM sequences."""
    source: Any = request.input
    check_input(source)
    if isinstance(source, str | Path):
        return _read_path(Path(source), request)
    reject_bids(request.bids)
    _reject_series(request)
    if isinstance(source, Case | Scans):
        return source, {}, frozenset()
    if isinstance(source, CaseFiles):
        return read_scans(source), _read_folder_headers(source.paths, request), _find_folders(source)
    if isinstance(source, Mapping):
        return _read_mapping(source, request)
    raise OptionError(
        f"The input is a {type(source).__name__}. Provide a path, a mapping from sequence to file or image, or a case."
    )


def _read_path(path: Path, request: SegmentRequest) -> "tuple[Scans, Mapping[Modality, SourceSeries], Availability]":
    if is_four_dimensional(path):
        _reject_series(request)
        return read_scans(recognise(path, selection=request.bids)), {}, frozenset()
    with open_input(path) as folder:
        if not is_dicom_folder(folder):
            _reject_series(request)
            return read_scans(recognise(folder, selection=request.bids)), {}, frozenset()
        reject_bids(request.bids)
        study = choose_series(folder, SeriesOverrides(request.series, request.study))
        scans = read_chosen(study)
        return scans, _read_study_headers(study, request), frozenset(scans.volumes)


def _read_mapping(
    source: Mapping[Any, Any], request: SegmentRequest
) -> "tuple[Scans, Mapping[Modality, SourceSeries], Availability]":
    images = {name: image for name, image in source.items() if not isinstance(image, str | Path)}
    labels = {name: f"{getattr(name, 'value', name)} (in memory)" for name in images}
    files = recognise({**source, **labels})
    image_of_label = {Path(labels[name]): image for name, image in images.items()}

    def read(path: Path) -> Volume:
        return to_volume(image_of_label[path], path.name) if path in image_of_label else read_volume(path)

    return (
        read_scans(files, read=read),
        {} if images else _read_folder_headers(files.paths, request),
        _find_folders(files),
    )


def _find_folders(files: CaseFiles) -> Availability:
    """Return the sequences that are folders of a DICOM series each."""
    return frozenset(modality for modality, path in files.paths.items() if Path(path).is_dir())


def _reject_series(request: SegmentRequest) -> None:
    if request.series:
        raise OptionError(
            "Single files can only be combined with a DICOM study. Specify either a case or single files."
        )
    if request.study is not None:
        raise OptionError("--study needs DICOM input. Omit it for other input.")


def reject_bids(selection: BidsFilter) -> None:
    """Reject a selection from a BIDS dataset for other input.

    Raises:
        OptionError: the filter is not empty.
    """
    if not selection.is_empty:
        raise OptionError(NO_DATASET)


@contextmanager
def open_input(path: Path) -> Iterator[Path]:
    """Yield the folder for a path: the folder itself, that of a DICOMDIR, or the temporary content of a zip.

    Raises:
        CaseError: the path does not exist, or is a file of an unsupported type.
        ZipError: the zip is damaged, unsafe or too large.
        ResourceError: the temporary folder is full or cannot be used.
    """
    check_input(path)
    if path.is_dir():
        yield path
    elif is_zip(path):
        with _unpack_temporarily(path) as folder:
            yield folder
    elif path.name.upper() == "DICOMDIR":
        yield path.parent
    else:
        problem = "is one DICOM file" if is_dicom(path) else "is a file, but not a zip file"
        raise CaseError(f"{path} {problem}. Provide the folder of one case, or single files, for example --t1ce FILE.")


@contextmanager
def _unpack_temporarily(path: Path) -> Iterator[Path]:
    """Yield the temporary folder of a zip's content. Messages name the zip instead of that folder.

    Raises:
        ResourceError: the temporary folder is full or cannot be used.
        ZipError: the zip is damaged, unsafe or too large.
    """
    with ExitStack() as stack:
        try:
            temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="brats-mm-"))
            folder = Path(temporary) / (path.stem or "case")
            unpacked = unpack(path, folder)
        except OSError as error:
            raise ResourceError(
                f"{path} could not be unpacked into the temporary folder: {error.strerror or error}. Free space, or "
                "set TMPDIR to a folder on another disk."
            ) from error
        try:
            yield unpacked.folder
        except InputError as error:
            raise type(error)(str(error).replace(str(folder), str(path))) from error


def is_dicom_folder(folder: Path) -> bool:
    """Return whether a folder or its direct subfolders contain DICOM and no volume files."""
    if not folder.is_dir():
        return False
    near = [*folder.iterdir(), *(path for sub in folder.iterdir() if sub.is_dir() for path in sub.iterdir())]
    return not any(find_image_suffix(path.name) for path in near if path.is_file()) and holds_dicom(folder)


def _read_study_headers(study: ChosenStudy, request: SegmentRequest) -> "Mapping[Modality, SourceSeries]":
    if not request.outputs.wants_dicom:
        return {}
    if request.outputs.dicom_reference is not None:
        raise OptionError(
            "A DICOM reference was given, but the input is already DICOM. Use --dicom instead of --dicom-reference. To "
            "choose the sequence that defines the output grid, add --reference, for example --reference t1ce."
        )
    from brats_mm.outputs.dicom.results import read_headers

    return read_headers(study.choice)


def _read_folder_headers(paths: Mapping[Modality, str], request: SegmentRequest) -> "Mapping[Modality, SourceSeries]":
    """Return the headers of sequences that are folders with one series each, or none for volume files."""
    folders = {modality: Path(path) for modality, path in paths.items()}
    if not request.outputs.dicom or not all(folder.is_dir() for folder in folders.values()):
        return {}
    from brats_mm.outputs.dicom.results import read_folder_headers

    return {modality: read_folder_headers(folder) for modality, folder in folders.items()}


def _make_dicom_output(request: SegmentRequest, headers: "Mapping[Modality, SourceSeries]") -> "DicomOutput | None":
    outputs = request.outputs
    if not outputs.wants_dicom:
        return None
    from brats_mm.outputs.dicom.results import DicomOutput, read_named_reference

    if not headers and outputs.dicom_reference is None:
        raise OptionError(
            "DICOM results need a DICOM series to refer to, but the input is not DICOM. Provide the study as input, or "
            "set --dicom-reference to the series from which the files were converted."
        )
    named = None if headers or outputs.dicom_reference is None else read_named_reference(outputs.dicom_reference)
    return DicomOutput(headers, named, outputs.deidentify, outputs.dicom_folder, outputs.rtstruct)
