"""Cache of compiled experts on disk, so a model is compiled once per machine instead of at every start."""

import hashlib
import logging
import os
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "BRATS_MM_CACHE"
"""Environment variable for another folder."""

UNUSED_DAYS = 60.0
"""Days after which unused compiled experts are deleted."""

DIGEST_BYTES = hashlib.sha256().digest_size


def locate_cache_folder() -> Path:
    """Return the user's cache folder: `brats-mm` in the system's cache folder."""
    path = os.environ.get(CACHE_VARIABLE)
    if path:
        return Path(path)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "brats-mm" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "brats-mm"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "brats-mm"


@dataclass(frozen=True)
class CompiledCache:
    """A folder of compiled experts.

    Attributes:
        folder: path of the folder. Created when the first expert is stored.
        key: everything that identifies a compiled expert except its name: weights, version, processor, precision.
    """

    folder: Path
    key: tuple[str, ...]

    def make_path(self, name: str) -> Path:
        """Return the file of one expert."""
        digest = hashlib.sha256("\n".join((*self.key, name)).encode()).hexdigest()
        return self.folder / "openvino" / f"{name}-{digest[:32]}.bin"

    def load(self, name: str) -> bytes | None:
        """Return a cached model, or None if it is missing or damaged."""
        path = self.make_path(name)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        digest, compiled = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.sha256(compiled).digest() != digest:
            logger.warning("Recompiling %s, which is damaged.", path)
            return None
        with suppress(OSError):
            os.utime(path)  # it is in use
        return compiled

    def store(self, name: str, compiled: bytes) -> None:
        """Write a model atomically. If the folder is read-only, log it and continue without the cache."""
        path = self.make_path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.stem, delete=False) as stream:
                stream.write(hashlib.sha256(compiled).digest() + compiled)
            Path(stream.name).replace(path)
            _delete_unused(path.parent)
        except OSError as error:
            logger.info("Compiled models cannot be stored in %s (%s).", path.parent, error.strerror)


def _delete_unused(folder: Path) -> None:
    """Delete compiled models unused for `UNUSED_DAYS`, such as those of earlier weights and versions."""
    oldest = time.time() - UNUSED_DAYS * 86400
    for path in folder.iterdir():
        with suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()
