"""Store uploads of viewers between requests: images and sessions.

Each item has a folder below `<data>/viewers/<caller>/<kind>/` with an `item.json`. Folder names are hashes, so no user
input becomes a path, and callers find only their own items. All items expire.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from brats_mm.io.durable import write_json
from brats_mm_service.jobs.files import JobFiles, count_folder_bytes
from brats_mm_service.problems import Problem

_ITEM = "item.json"
MAX_ITEMS_PER_KIND = 64


class Kind(str, Enum):
    """Kind of an item."""

    IMAGE = "images"
    SESSION = "sessions"


@dataclass(frozen=True)
class Item:
    """A stored item. Times are seconds since 1970.

    Attributes:
        id: identifier for the caller.
        name: display name of the file or case.
        sequences: stored file name by known sequence.
        unsorted: stored file name of a volume of unknown sequence.
        notes: how sequences were recognised, and ignored files.
        info: information from the viewer.
        keep_s: seconds after its last use at which the item expires.
    """

    id: str
    name: str
    sequences: Mapping[str, str] = field(default_factory=dict)
    unsorted: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    created: float = 0.0
    used: float = 0.0
    keep_s: float = 3600.0

    @property
    def main_file(self) -> str:
        """Main file: the first sequence, or the only file."""
        return next(iter(self.sequences.values()), self.unsorted or "")


class ViewerStore:
    """Items of all callers."""

    def __init__(self, files: JobFiles, now: Callable[[], float] = time.time) -> None:
        self._root = files.root / "viewers"
        self._files = files
        self._now = now
        self._lock = threading.Lock()

    def put(self, owner: str, kind: Kind, item: Item, incoming: Path) -> Item:
        """Store an item whose files are in `incoming`. Replaces an item with the same ID.

        Raises:
            Problem: the caller has stored too much.
            OSError: the disk is full.
        """
        now = self._now()
        stored = replace(item, created=now, used=now)
        target = self.folder(owner, kind, item.id)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not target.exists() and sum(1 for _ in target.parent.iterdir()) >= MAX_ITEMS_PER_KIND:
            message = (
                f"You already have {MAX_ITEMS_PER_KIND} {kind.value}, the maximum of this service. Delete some first."
            )
            raise Problem("too-many", message, {"Retry-After": "600"})
        _write(incoming, stored)
        with self._lock:
            self._files.discard(target)
            incoming.rename(target)
        return stored

    def get(self, owner: str, kind: Kind, item_id: str) -> Item | None:
        """Return a caller's item by its ID, or None if it does not exist or has expired."""
        item = _read(self.folder(owner, kind, item_id))
        return item if item is not None and not self._is_expired(item) else None

    def change(self, owner: str, kind: Kind, item: Item) -> Item:
        """Store the changes of an item and its last use.

        Raises:
            FileNotFoundError: it was deleted.
        """
        used = replace(item, used=self._now())
        with self._lock:
            _write(self.folder(owner, kind, item.id), used)
        return used

    def all(self, owner: str, kind: Kind) -> list[Item]:
        """Return the caller's items of a kind, oldest first."""
        items = [_read(folder) for folder in self._iterate_folders(owner, kind)]
        return sorted((item for item in items if item and not self._is_expired(item)), key=lambda item: item.created)

    def remove(self, owner: str, kind: Kind, item_id: str) -> None:
        """Delete an item with its files."""
        with self._lock:
            self._files.discard(self.folder(owner, kind, item_id))

    def folder(self, owner: str, kind: Kind, item_id: str) -> Path:
        """Return the folder of an item's files."""
        return self._root / _hash(owner) / kind.value / _hash(item_id)

    def count_used_bytes(self, owner: str) -> int:
        """Return the disk space of a caller's items in bytes."""
        return count_folder_bytes(self._root / _hash(owner))

    def sweep(self) -> None:
        """Delete expired and damaged items."""
        for folder in self._root.glob("*/*/*"):
            item = _read(folder)
            if item is None or self._is_expired(item):
                self._files.discard(folder)

    def _is_expired(self, item: Item) -> bool:
        return self._now() > item.used + item.keep_s

    def _iterate_folders(self, owner: str, kind: Kind) -> Iterator[Path]:
        folder = self._root / _hash(owner) / kind.value
        return folder.iterdir() if folder.is_dir() else iter(())


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _write(folder: Path, item: Item) -> None:
    write_json(asdict(item), folder / _ITEM)


def _read(folder: Path) -> Item | None:
    try:
        return Item(**json.loads((folder / _ITEM).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
