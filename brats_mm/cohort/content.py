"""Whether a case is what it was: by the hash of its files' content, and, where they lie untouched, by their dates.

Reading a hundred thousand cases only to find that nothing has changed would take hours. So a case's stamp (names,
sizes, dates of change) is kept beside the hash of its content: the same stamp is the same case, and where the stamp is
another, a copied dataset for instance, the content decides.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from brats_mm.cohort.records import CohortCase
from brats_mm.io.bundle import sha256_of


def stamp_of(case: CohortCase) -> str:
    """Hash of what the file system says of a case's files.

    Raises:
        OSError: a file or the folder is not there.
    """
    said = []
    for name, path in files_of(case):
        found = path.stat()
        said.append([name, str(path), found.st_size, found.st_mtime_ns])
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def content_of(case: CohortCase) -> str:
    """Hash of the content of a case's files and of what they are: the same wherever they lie.

    Raises:
        OSError: a file cannot be read.
    """
    said = [[name, sha256_of(path)] for name, path in files_of(case)]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def files_of(case: CohortCase) -> Iterator[tuple[str, Path]]:
    """The files of a case in a fixed order: by sequence, or by their place in its folder; hidden ones do not count."""
    if case.folder is None:
        for modality, path in sorted(case.files.items()):
            yield modality.value, Path(path)
        return
    top = Path(case.folder)
    if not top.is_dir():
        raise FileNotFoundError(top)
    for place, folders, files in os.walk(top):
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        for file in sorted(file for file in files if not file.startswith(".")):
            found = Path(place, file)
            yield found.relative_to(top).as_posix(), found
