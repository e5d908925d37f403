"""Corrections on disk: one folder each, written atomically and never overwritten.

<root>/<owner>/<id>/correction.json    record of the correction
<root>/<owner>/<id>/labels.nii.gz      label map on the grid of its image, with BraTS 2023 values
<root>/<owner>/<id>/...                the submitted file, the images, and `prediction.nii.gz`
"""

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from brats_mm.io.durable import sync, write_json
from brats_mm.learning.corrections import Correction, from_json, to_json

DOCUMENT = "correction.json"
LABELS = "labels.nii.gz"
PREDICTION = "prediction.nii.gz"


class CorrectionStore:
    """Corrections of all callers below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()

    def add(self, incoming: Path, make: Callable[[list[Correction]], Correction]) -> Correction:
        """Store a correction durably with its files from `incoming`.

        Args:
            incoming: folder of the files. It is moved into the store.
            make: function from all corrections so far to the new one.

        Raises:
            OSError: the disk is full.
        """
        with self._lock:
            correction = make(self.all())
            write_json(to_json(correction), incoming / DOCUMENT)
            for path in (*incoming.rglob("*"), incoming):
                sync(path)
            target = self.folder(correction)
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            incoming.rename(target)
            sync(target.parent)
            sync(self.root)
        return correction

    def all(self, owner: str | None = None) -> list[Correction]:
        """Return the corrections of one owner or all owners, oldest first. Skips unreadable ones."""
        owners = "*" if owner is None else _hash(owner)
        corrections = [_read(path) for path in self.root.glob(f"{owners}/*/{DOCUMENT}")]
        return sorted(
            (correction for correction in corrections if correction is not None),
            key=lambda correction: (correction.created, correction.version),
        )

    def list_for_image(self, owner: str, image: str, tag: str) -> list[Correction]:
        """Return the versions of one label, oldest first."""
        return [correction for correction in self.all(owner) if (correction.image, correction.tag) == (image, tag)]

    def change(self, correction: Correction) -> None:
        """Replace the record of a correction. Its files are unchanged.

        Raises:
            FileNotFoundError: it was deleted.
        """
        with self._lock:
            write_json(to_json(correction), self.folder(correction) / DOCUMENT)

    def remove(self, correction: Correction) -> None:
        """Delete a correction with its files."""
        with self._lock:
            folder = self.folder(correction)
            (folder / DOCUMENT).unlink(
                missing_ok=True
            )  # remove the record first, so that the correction no longer counts
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Delete what interrupted deletions left behind: folders without a record."""
        with self._lock:
            for folder in self.root.glob("*/*"):
                if not (folder / DOCUMENT).exists():
                    shutil.rmtree(folder, ignore_errors=True)

    def folder(self, correction: Correction) -> Path:
        """Return the folder of a correction's files."""
        return self.root / _hash(correction.owner) / correction.id

    def count_used_bytes(self, owner: str) -> int:
        """Return the disk space of an owner's corrections."""
        total = 0
        for folder, _, names in os.walk(self.root / _hash(owner)):  # skips what is deleted meanwhile, unlike rglob
            for name in names:
                with suppress(FileNotFoundError):
                    total += Path(folder, name).lstat().st_size
        return total


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _read(path: Path) -> Correction | None:
    try:
        return from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        return None
