"""Unpack uploaded zip files with the library's safe reader, within the limits of the service."""

import shutil
from pathlib import Path

from brats_mm.io.zip import Unpacked, ZipError, ZipLimits, ZipTooLarge
from brats_mm.io.zip import unpack as unpack_zip
from brats_mm_service.problems import Problem
from brats_mm_service.settings import UploadLimits


def unpack(path: Path, folder: Path, limits: UploadLimits) -> Unpacked:
    """Unpack the images of a case, or the files of a DICOM study.

    Raises:
        Problem: the zip is damaged, unsafe or too large.
        OSError: the disk is full.
    """
    # Uploads that are unpacked concurrently share the free disk space.
    spare = max(0, shutil.disk_usage(path.parent).free - limits.free_bytes) // limits.at_once
    bounds = ZipLimits(limits.zip_entries, min(limits.unpacked_bytes, spare), limits.file_bytes * 4)
    try:
        return unpack_zip(path, folder, bounds)
    except ZipTooLarge as error:
        if spare < limits.unpacked_bytes:
            message = (
                "The service's disk has too little space to unpack the zip file. Delete jobs that you no longer need."
            )
            raise Problem("disk-full", message) from error
        raise Problem("too-large", str(error)) from error
    except ZipError as error:
        raise Problem("bad-zip", str(error)) from error
