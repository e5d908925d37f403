"""Size and modification time of a file, which show whether it has changed since it was last read."""

from pathlib import Path
from typing import NamedTuple


class FileStamp(NamedTuple):
    """State of a file on disk.

    Attributes:
        path: the file.
        size: bytes, or -1 if there is no such file.
        modified_ns: modification time in nanoseconds, or -1.
    """

    path: str
    size: int
    modified_ns: int


def read_file_stamp(path: Path | str) -> FileStamp:
    """Return the stamp of a file, which may be missing."""
    try:
        state = Path(path).stat()
    except OSError:
        return FileStamp(str(path), -1, -1)
    return FileStamp(str(path), state.st_size, state.st_mtime_ns)
