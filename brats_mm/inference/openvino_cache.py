"""Compiled experts kept on disk, so that a model is converted once a machine and not once a start."""

import hashlib
import logging
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "BRATS_MM_CACHE"
"""Environment variable that names another folder."""

DIGEST_BYTES = hashlib.sha256().digest_size


def cache_folder() -> Path:
    """Where this user's programs keep what can be made again: `brats-mm` in the system's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "brats-mm" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "brats-mm"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "brats-mm"


@dataclass(frozen=True)
class CompiledCache:
    """A folder of compiled experts.

    Attributes:
        folder: made when something is first kept.
        key: everything that a compiled expert depends on but its name: weights, version, processor, precision.
    """

    folder: Path
    key: tuple[str, ...]

    def path(self, name: str) -> Path:
        """The file of one expert."""
        digest = hashlib.sha256("\n".join((*self.key, name)).encode()).hexdigest()
        return self.folder / "openvino" / f"{name}-{digest[:32]}.bin"

    def load(self, name: str) -> bytes | None:
        """What was kept under this name, or nothing; a file that is not as it was written counts as nothing."""
        try:
            content = self.path(name).read_bytes()
        except OSError:
            return None
        digest, compiled = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.sha256(compiled).digest() != digest:
            logger.warning("The compiled model %s is damaged and is made anew.", self.path(name))
            return None
        return compiled

    def keep(self, name: str, compiled: bytes) -> None:
        """Put it there whole or not at all; a folder that cannot be written to costs the next start a second."""
        path = self.path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.stem, delete=False) as stream:
                stream.write(hashlib.sha256(compiled).digest() + compiled)
            Path(stream.name).replace(path)
        except OSError as error:
            logger.info("Compiled models cannot be kept in %s (%s).", path.parent, error.strerror)
