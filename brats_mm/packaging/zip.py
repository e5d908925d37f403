"""Zip a bundle reproducibly, with the hash of every file and of the zip."""

import hashlib
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from brats_mm.errors import BundleError, OutputError
from brats_mm.io.bundle import Bundle, compute_sha256, verify_hash
from brats_mm.outputs.folder import OutputFolder

CONTENTS = "SHA256SUMS"
"""File at the bundle's root with the hashes of all files, in the format of `sha256sum -c`."""

_MIN_DATE = (1980, 1, 1, 0, 0, 0)
"""Earliest date of the zip format. All entries use it, so equal bundles give equal zips."""

_MODE = 0o100644 << 16


@dataclass(frozen=True)
class ZippedBundle:
    """A zipped bundle.

    Attributes:
        path: path of the zip, NAME_vVERSION.zip as in MONAI's model zoo.
        sha256: hash of the zip, also written to PATH.sha256.
        files: number of bundle files in the zip.
    """

    path: Path
    sha256: str
    files: int


def zip_bundle(bundle: Bundle, folder: Path, *, overwrite: bool = False) -> ZippedBundle:
    """Zip a bundle into a folder, with a file for the hash of the zip.

    Hidden files and Python caches are skipped. `brats-mm segment --bundle` accepts the unzipped folder.

    Args:
        bundle: the bundle to zip.
        folder: folder for the zip. Created if needed.
        overwrite: whether to replace an existing zip.

    Raises:
        BundleError: the bundle is incomplete, or its weights do not match their recorded hash.
        OutputError: the zip already exists or cannot be written.
    """
    verify_hash(bundle)
    metadata = bundle.metadata()
    name, version = (str(metadata.get(key) or "") for key in ("name", "version"))
    if not name or not version:
        raise BundleError(f"{bundle.root}/configs/metadata.json needs the bundle's `name` and `version`. Add them.")
    path = folder / f"{name}_v{version}.zip"
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path} already exists. Increase the bundle's version, choose another folder, or add --overwrite."
        )
    files = tuple(_iterate_files(bundle.root))
    with OutputFolder(folder) as output:
        _write(output.staged(path.name), bundle.root, files, name)
        digest = compute_sha256(output.staged(path.name))
        output.staged(f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n", encoding="utf-8")
    return ZippedBundle(path, digest, len(files))


def _iterate_files(root: Path) -> Iterator[Path]:
    """Yield the bundle's files relative to its root, in the same order on every machine."""
    paths = (Path(place, name).relative_to(root) for place, _, names in os.walk(root) for name in names)
    for path in sorted(paths, key=lambda path: path.as_posix()):
        hidden = any(part.startswith(".") or part == "__pycache__" for part in path.parts)
        if not hidden and path.as_posix() != CONTENTS:
            yield path


def _write(target: Path, root: Path, files: tuple[Path, ...], name: str) -> None:
    lines = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in files:
            content = (root / path).read_bytes()
            lines.append(f"{hashlib.sha256(content).hexdigest()}  {path.as_posix()}\n")
            archive.writestr(_make_entry(f"{name}/{path.as_posix()}"), content)
        archive.writestr(_make_entry(f"{name}/{CONTENTS}"), "".join(lines))


def _make_entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _MIN_DATE)
    entry.external_attr = _MODE
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry
