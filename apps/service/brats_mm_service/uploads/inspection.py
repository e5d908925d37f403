"""Return the table of `brats-mm inspect` for a received zip."""

from pathlib import Path
from typing import Any

from brats_mm.errors import InputError
from brats_mm.pipeline.dicom_study import SeriesOverrides
from brats_mm.pipeline.inspect import inspect_input
from brats_mm_service.problems import Problem, find_error_kind
from brats_mm_service.settings import UploadLimits
from brats_mm_service.uploads.dicom import use_request_terms
from brats_mm_service.uploads.intake import use_zip_terms
from brats_mm_service.uploads.zips import unpack


def inspect_zip(path: Path, folder: Path, limits: UploadLimits, overrides: SeriesOverrides) -> dict[str, Any]:
    """Unpack a zip in `folder` and return the table of its series or files.

    Raises:
        Problem: the zip cannot be unpacked, or contains nothing to inspect.
    """
    unpacked = unpack(path, folder / "unpacked", limits)
    try:
        table = inspect_input(unpacked.folder, overrides)
    except InputError as error:
        raise Problem(find_error_kind(error), use_zip_terms(str(error), unpacked.folder)) from error
    return {**table, "problems": [use_request_terms(problem, unpacked.folder) for problem in table["problems"]]}
