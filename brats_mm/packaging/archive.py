"""A bundle as one zip to publish: the same bytes for the same bundle, with the hash of every file and its own."""

import hashlib
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from brats_mm.errors import BundleError, OutputError
from brats_mm.io.bundle import Bundle, checked_hash, sha256_of
from brats_mm.outputs.folder import OutputFolder

CONTENTS = "SHA256SUMS"
"""The hashes of all files of the archive, at the bundle's root, in the format that `sha256sum -c` reads."""

_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The first date that a zip can hold: every file has it, so that equal bundles are equal archives."""

_MODE = 0o100644 << 16


@dataclass(frozen=True)
class BundleArchive:
    """The archive that was written.

    Attributes:
        path: the zip, NAME_vVERSION.zip, as MONAI's model zoo names its own.
        sha256: of the zip; the same stands beside it in PATH.sha256.
        files: how many files of the bundle are in it.
    """

    path: Path
    sha256: str
    files: int


def archive_bundle(bundle: Bundle, folder: Path, *, overwrite: bool = False) -> BundleArchive:
    """Write a bundle's archive and its hash into a folder.

    Hidden files and Python's caches are left out. `brats-mm segment --bundle` takes the folder that unzipping gives.

    Raises:
        BundleError: the bundle is incomplete, or its weights are not the recorded ones.
        OutputError: the archive is there already, or cannot be written.
    """
    checked_hash(bundle)
    metadata = bundle.metadata()
    name, version = (str(metadata.get(key) or "") for key in ("name", "version"))
    if not name or not version:
        message = f"{bundle.root}/configs/metadata.json must say the bundle's `name` and `version`. Write them there."
        raise BundleError(message)
    path = folder / f"{name}_v{version}.zip"
    if path.exists() and not overwrite:
        message = f"{path} is there already. Raise the bundle's version, choose another folder, or say --overwrite."
        raise OutputError(message)
    files = tuple(_files(bundle.root))
    with OutputFolder(folder) as output:
        _write(output.staged(path.name), bundle.root, files, name)
        digest = sha256_of(output.staged(path.name))
        output.staged(f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n", encoding="utf-8")
    return BundleArchive(path, digest, len(files))


def _files(root: Path) -> Iterator[Path]:
    """The bundle's files relative to its root, in one order on every machine."""
    found = (Path(place, name).relative_to(root) for place, _, names in os.walk(root) for name in names)
    for path in sorted(found, key=lambda path: path.as_posix()):
        hidden = any(part.startswith(".") or part == "__pycache__" for part in path.parts)
        if not hidden and path.as_posix() != CONTENTS:
            yield path


def _write(target: Path, root: Path, files: tuple[Path, ...], name: str) -> None:
    lines = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in files:
            content = (root / path).read_bytes()
            lines.append(f"{hashlib.sha256(content).hexdigest()}  {path.as_posix()}\n")
            archive.writestr(_entry(f"{name}/{path.as_posix()}"), content)
        archive.writestr(_entry(f"{name}/{CONTENTS}"), "".join(lines))


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EARLIEST)
    entry.external_attr = _MODE
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry
