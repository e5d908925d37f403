"""Write files durably, so that they survive a crash of the machine."""

import json
import os
from pathlib import Path


def sync(path: Path) -> None:
    """Flush a file or folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(document: object, path: Path, *, indent: int | None = None) -> None:
    """Write JSON atomically: `path` holds either the new or the old content. Does not sync the folder."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(document, indent=indent) + "\n", encoding="utf-8")
    sync(partial)
    partial.replace(path)
