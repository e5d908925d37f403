"""Write results into a folder atomically: all of them or none."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from brats_mm.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PREFIX = ".brats-mm-"

_REASONS = {
    errno.ENOSPC: ("the disk is full", "Free some space, or choose a folder on another disk."),
    errno.EDQUOT: ("your disk quota is used up", "Free some space, or choose a folder on another disk."),
    errno.EACCES: ("you have no permission to write there", "Choose a folder that you can write to."),
    errno.EPERM: ("you have no permission to write there", "Choose a folder that you can write to."),
    errno.EROFS: ("the disk is read-only", "Choose a folder on another disk."),
    errno.ENOTDIR: ("part of the path is a file", "Choose a folder."),
    errno.EEXIST: ("it is a file", "Choose a folder."),
    errno.EISDIR: ("a folder with this name exists", "Rename it, or choose another folder."),
    errno.ENAMETOOLONG: ("the name is too long", "Choose a shorter name."),
}


def make_output_error(path: Path, error: OSError) -> OutputError:
    """Return the error for a failed write, with path, cause and remedy."""
    why, remedy = _REASONS.get(error.errno or 0, (error.strerror or str(error), "Choose another folder."))
    return OutputError(f"Cannot write to {path}: {why}. {remedy}")


@contextmanager
def convert_output_errors(path: Path) -> Iterator[None]:
    """Raise an `OSError` from the block as an `OutputError` about `path`."""
    try:
        yield
    except OSError as error:
        raise make_output_error(path, error) from error


class OutputFolder:
    """Context manager that stages results and moves them to `path` together when the block succeeds.

    Use `with OutputFolder(path) as folder:` and write each result to `folder.staged(name)`. Files of the same name are
    replaced at the end. Other files in the folder are kept. After an error, the folder is unchanged.

    Raises:
        OutputError: the folder cannot be created or written, or the block raised an `OSError` about it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made: list[Path] = []
        self._aside: Path | None = None
        self._lock: int | None = None

    def staged(self, name: str) -> Path:
        """Return the path to write `name` (a relative path) to. It moves to `self.path / name` at the end."""
        if self._aside is None:
            raise RuntimeError("Call staged() inside the `with` block.")
        path = self._aside / "new" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def __enter__(self) -> "OutputFolder":
        try:
            self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
            delete_abandoned(self.path)
            self._aside, self._lock = _create_locked_folder(self.path)
        except OSError as error:
            self._discard()
            raise make_output_error(self.path, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                with convert_output_errors(self.path):
                    self._commit()
                self._made = []
            elif isinstance(error, OSError) and _is_about(error, self.path):
                raise make_output_error(self.path, error) from error
        finally:
            self._discard()

    def _commit(self) -> None:
        """Move all results into place. If one fails, restore the previous files."""
        assert self._aside is not None
        new, old = self._aside / "new", self._aside / "old"
        replaced: list[Path] = []
        try:
            for staged in sorted(file for file in new.rglob("*") if file.is_file()):
                name = staged.relative_to(new)
                _replace(self.path / name, staged, backup=old / name, replaced=replaced)
        except OSError:
            for target in replaced:
                self._restore(target, old / target.relative_to(self.path))
            raise

    @staticmethod
    def _restore(target: Path, backup: Path) -> None:
        if backup.exists():
            backup.replace(target)
        else:
            target.unlink(missing_ok=True)

    def _discard(self) -> None:
        if self._aside is not None:
            shutil.rmtree(self._aside, ignore_errors=True)
            self._aside = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        for folder in self._made:
            with suppress(OSError):  # not empty, or never created
                folder.rmdir()


def _is_about(error: OSError, folder: Path) -> bool:
    """Return whether an error concerns a folder: it names a path in it or none, and is no limit of the process."""
    if error.errno in (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN):
        return False
    names = [name for name in (error.filename, error.filename2) if isinstance(name, str | bytes | os.PathLike)]
    paths = [Path(os.fsdecode(name)).absolute() for name in names]
    return not paths or any(path.is_relative_to(folder.absolute()) for path in paths)


def delete_abandoned(path: Path) -> None:
    """Delete hidden work folders of killed runs. Folders of active runs are locked."""
    for folder in path.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            lock = _try_lock(folder)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _create_locked_folder(path: Path) -> tuple[Path, int | None]:
    """Create a work folder, locked for the lifetime of this process if the system supports it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=path))
        lock = None
        with suppress(OSError):
            lock = _try_lock(folder)
        if folder.exists():  # another run may have deleted it before it was locked
            return folder, lock
        if lock is not None:
            os.close(lock)


def _try_lock(folder: Path) -> int | None:
    """Lock a folder and return the open descriptor, or None if it is locked already or locks are unsupported."""
    if fcntl is None:
        return None
    descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _replace(target: Path, staged: Path, *, backup: Path, replaced: list[Path]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a folder with this name exists", str(target))
    if target.exists():
        backup.parent.mkdir(parents=True, exist_ok=True)
        target.replace(backup)
    replaced.append(target)
    staged.replace(target)
