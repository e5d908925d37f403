"""Detect whether a case has changed, by the hash of its files' content or by their unchanged dates.

Hashing a hundred thousand unchanged cases would take hours. Therefore, a stamp of each case (names, sizes, modification
times) is stored with the hash of its content. A case with an equal stamp is unchanged. If the stamp differs, as for a
copied dataset, the hashes are compared.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from brats_mm.cohort.records import CohortCase
from brats_mm.io.bundle import compute_sha256


def compute_stamp(case: CohortCase) -> str:
    """Return a hash of the names, sizes and modification times of a case's files.

    Raises:
        OSError: a file or the folder does not exist.
    """
    entries = []
    for name, path in iterate_files(case):
        status = path.stat()
        entries.append([name, str(path), status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()


def hash_content(case: CohortCase) -> str:
    """Return a hash of the content and role of a case's files, independent of their location.

    Raises:
        OSError: a file cannot be read.
    """
    hashes = [[name, compute_sha256(path)] for name, path in iterate_files(case)]
    return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()


def iterate_files(case: CohortCase) -> Iterator[tuple[str, Path]]:
    """Yield the files of a case in a fixed order: by sequence, or by path in its folder without hidden files."""
    if case.folder is None:
        for modality, path in sorted(case.files.items()):
            yield modality.value, Path(path)
        return
    top = Path(case.folder)
    if not top.is_dir():
        raise FileNotFoundError(top)
    for parent, folders, files in os.walk(top):
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        for file in sorted(file for file in files if not file.startswith(".")):
            file_path = Path(parent, file)
            yield file_path.relative_to(top).as_posix(), file_path
