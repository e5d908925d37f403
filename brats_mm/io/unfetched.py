"""Placeholders for files that are not on this machine: broken links, and pointers of git-annex and Git LFS."""

from pathlib import Path

FETCH = "Fetch the file, for example with `datalad get`, `git annex get` or `git lfs pull`."

MAX_POINTER_BYTES = 2**15


def is_broken_link(path: Path) -> bool:
    """Return whether a path is a link to a file that does not exist."""
    return path.is_symlink() and not path.exists()


def is_pointer(start: bytes) -> bool:
    """Return whether a file is a pointer, by its first `MAX_POINTER_BYTES` + 1 bytes."""
    is_known = b"annex/objects/" in start[:1024] or start.startswith(b"version https://git-lfs.github.com/")
    return is_known and len(start) <= MAX_POINTER_BYTES


def is_unfetched(path: Path) -> bool:
    """Return whether a path is a broken link or a pointer. False for files that cannot be opened."""
    if is_broken_link(path):
        return True
    try:
        if not path.is_file():  # opening a pipe would wait for a writer
            return False
        with path.open("rb") as stream:
            return is_pointer(stream.read(MAX_POINTER_BYTES + 1))
    except OSError:
        return False
