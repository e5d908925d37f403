"""Versions of a site's model: bundles in addition to the installed one, one of which is active.

<root>/<version>/      a bundle, with `training.json`: its training cases and held-out scores
<root>/active.json     the active and previously active versions

A bundle appears complete or not at all. Only `activate` and `roll_back` change the active version.
"""

import json
import re
import secrets
import shutil
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from brats_mm.errors import BundleError, OptionError
from brats_mm.io.bundle import Bundle, verify_hash
from brats_mm.io.durable import sync, write_json

BASE = "base"
"""Name of the model that the service was started with."""

ACTIVE = "active.json"
REPORT = "training.json"
BUNDLE = "bundle"
"""Folder of the new bundle in the output of a training run."""
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,60}")


@dataclass(frozen=True)
class ActiveModel:
    """The active version, and previously active versions, oldest first."""

    version: str = BASE
    earlier: tuple[str, ...] = ()

    def activated(self, version: str) -> "ActiveModel":
        """Return the state after a version was activated."""
        return self if version == self.version else ActiveModel(version, (*self.earlier, self.version))

    def rolled_back(self) -> "ActiveModel":
        """Return the state with the version before this one.

        Raises:
            OptionError: there is no previously active version.
        """
        if not self.earlier:
            raise OptionError("Cannot roll back, because no other version was active before.")
        return ActiveModel(self.earlier[-1], self.earlier[:-1])


def make_next_version(base: str, existing: Collection[str]) -> str:
    """Return the name of the next version of a site, such as `0.7.0+site.3`.

    Args:
        base: version of the installed model, or of a version of the site.
        existing: names in use.
    """
    stem = base.partition("+")[0]
    numbers = [int(match[1]) for name in existing if (match := re.fullmatch(r".*\+site\.(\d+)", name))]
    return f"{stem}+site.{max(numbers, default=0) + 1}"


class ModelVersions:
    """Versions below a folder, which may not exist yet."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Return the names of all versions except the base, oldest first."""
        if not self._root.is_dir():
            return []
        folders = [path for path in self._root.iterdir() if path.is_dir() and _NAME.fullmatch(path.name)]
        return [path.name for path in sorted(folders, key=lambda path: (path.stat().st_mtime, path.name))]

    def folder(self, version: str) -> Path | None:
        """Return the bundle of a version, or None for the base.

        Raises:
            OptionError: the version does not exist.
        """
        if version == BASE:
            return None
        if version not in self.names():
            raise OptionError(
                f"There is no version {version[:60]!r}. Choose one of {', '.join([BASE, *self.names()])}."
            )
        return self._root / version

    def report(self, version: str) -> dict[str, Any]:
        """Return the training report of a version with its held-out scores, or an empty report if unknown."""
        try:
            document = json.loads((self._root / version / REPORT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}

    def adopt(self, bundle: Path, version: str) -> None:
        """Move a finished bundle into the folder. Replaces remains of an interrupted attempt with the same name.

        Args:
            bundle: folder of the finished bundle.
            version: name of the version.

        Raises:
            OSError: the disk is full.
        """
        if not _NAME.fullmatch(version):
            raise OptionError(
                f"The version {version!r} contains invalid characters. Use letters, digits, '.', '+' and '-'."
            )
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in (*bundle.rglob("*"), bundle):
            sync(path)
        target = self._root / version
        with self._lock:
            if target.exists():
                shutil.rmtree(target)
            bundle.rename(target)
            sync(self._root)

    def discard(self, version: str) -> None:
        """Remove a version whose training did not end well. Does nothing if there is none.

        Raises:
            OSError: its folder cannot be moved away.
        """
        if version not in self.names():
            return
        gone = self._root / f".{version}.{secrets.token_hex(8)}"
        with self._lock:
            (self._root / version).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def active(self) -> ActiveModel:
        """Return the active version, which is the base if none was activated or the active version was deleted."""
        try:
            stored: Mapping[str, Any] = json.loads((self._root / ACTIVE).read_text(encoding="utf-8"))
            state = ActiveModel(str(stored["version"]), tuple(map(str, stored["earlier"])))
        except (OSError, ValueError, TypeError, KeyError):
            return ActiveModel()
        versions = {BASE, *self.names()}
        state = replace(state, earlier=tuple(name for name in state.earlier if name in versions))
        return state if state.version in versions else ActiveModel()

    def find_active_bundle(self) -> Path | None:
        """Return the bundle of the active version, or None for the base."""
        return self.folder(self.active().version)

    def activate(self, version: str) -> ActiveModel:
        """Activate a version after checking its weights.

        Raises:
            OptionError: the version does not exist.
            BundleError: its weights are damaged.
        """
        folder = self.folder(version)
        if folder is not None and Bundle(folder).recorded_hash() is None:
            raise BundleError(f"The version {version} has no recorded hash of its weights. Train it again.")
        if folder is not None:
            verify_hash(Bundle(folder))
        with self._lock:
            return self._store(self.active().activated(version))

    def roll_back(self) -> ActiveModel:
        """Activate the previously active version.

        Raises:
            OptionError: there is no previously active version.
        """
        with self._lock:
            return self._store(self.active().rolled_back())

    def _store(self, state: ActiveModel) -> ActiveModel:
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_json({"version": state.version, "earlier": state.earlier}, self._root / ACTIVE)
        sync(self._root)
        return state
