"""Have files on disk, not only in memory, so that they outlive a crash of the machine."""

import json
import os
from pathlib import Path


def sync(path: Path) -> None:
    """Wait until a file or folder is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(document: object, path: Path) -> None:
    """Write a document so that `path` holds either all of it or what it held before. The folder is not synced."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(document), encoding="utf-8")
    sync(partial)
    partial.replace(path)
