"""Measure the memory of a process."""

import os
from pathlib import Path


def read_resident_bytes(pid: int) -> int:
    """Return the resident memory of a process in bytes, or 0 if unknown."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
