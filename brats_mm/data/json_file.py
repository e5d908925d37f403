"""Read JSON files that users or other programs wrote."""

import errno
import json
from pathlib import Path
from typing import Any

from brats_mm.errors import BratsMMError, extract_first_line


def read_json(path: Path, error: type[BratsMMError], remedy: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        BratsMMError: the file is missing or not a JSON object, as the given class.
    """
    try:
        if path.is_fifo() and not path.is_relative_to("/dev"):  # opening it would wait for a writer
            raise OSError(errno.EINVAL, "it is a pipe")
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as cause:
        reason = getattr(cause, "strerror", None) or extract_first_line(cause)
        raise error(f"{path} cannot be read ({reason}). {remedy}") from cause
    if not isinstance(document, dict):
        raise error(f"{path} must be a JSON object. {remedy}")
    return document
