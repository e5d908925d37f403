"""Return the table of `brats-mm inspect` for a received zip."""

from pathlib import Path
from typing import Any

from brats_mm.errors import InputError
from brats_mm.pipeline.dicom_study import SeriesOverrides
from brats_mm.pipeline.inspect import inspect_input
from brats_mm_service.problems import Problem, kind_of
from brats_mm_service.settings import UploadLimits
from brats_mm_service.uploads.dicom import for_requests
from brats_mm_service.uploads.intake import for_zips
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
        raise Problem(kind_of(error), for_zips(str(error), unpacked.folder)) from error
    return {**table, "problems": [for_requests(problem, unpacked.folder) for problem in table["problems"]]}
