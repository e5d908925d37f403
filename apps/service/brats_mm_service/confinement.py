"""Confine the calling thread and its children to a few folders with Landlock (Linux 5.13).

A parser of untrusted files may be tricked into opening other files. When confined, the kernel refuses all other paths
and every TCP connection (from Linux 6.7). A restriction cannot be lifted.
"""

import ctypes
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # equal on all architectures supported by Python
_QUERY_VERSION = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_ALL_OF_VERSION_1 = (1 << 13) - 1
_TCP = 0b11
_SIGNALS_AND_SOCKETS = 0b11

_READ = _EXECUTE | _READ_FILE | _READ_DIR
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE

SYSTEM = (
    "/usr",
    "/lib",
    "/lib64",
    "/bin",
    "/opt/rocm",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/ssl/openssl.cnf",
    "/etc/fonts",
    "/sys/devices/system",
    "/proc/cpuinfo",
    "/proc/meminfo",
)
"""Read-only: shared libraries, fonts, and the files that report the number of processors."""

DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("access", ctypes.c_uint64), ("folder", ctypes.c_int32))


class ConfinementError(OSError):
    """The kernel supports Landlock but refused the restriction."""


def read_landlock_version() -> int:
    """Return the kernel's Landlock ABI version, or 0 if it does not support Landlock."""
    if sys.platform != "linux":
        return 0
    return max(0, _make_syscall(_CREATE_RULESET, None, 0, _QUERY_VERSION))


def confine(read: Iterable[Path | str], write: Iterable[Path | str]) -> bool:
    """Permanently deny the calling thread access to all other paths.

    Args:
        read: files and folders to read. Missing ones are skipped.
        write: files and folders to read, write, create and remove.

    Returns:
        Whether the thread is confined. False if the kernel does not support Landlock.

    Raises:
        ConfinementError: the kernel refused the restriction.
    """
    version = read_landlock_version()
    if version == 0:
        return False
    everything = _ALL_OF_VERSION_1 | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    rules = _Ruleset(everything, _TCP if version >= 4 else 0, _SIGNALS_AND_SOCKETS if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _check_result(_make_syscall(_CREATE_RULESET, ctypes.byref(rules), size, 0))
    try:
        for paths, access in ((read, _READ), (write, everything & ~_EXECUTE)):
            for path in paths:
                _allow(ruleset, path, access & everything)
        _check_result(_load_libc().prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
        _check_result(_make_syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)
    return True


def list_library_paths() -> list[str]:
    """Return the read-only paths of Python, its packages and the installed bundles, but never the whole home or working
    folder.
    """
    import brats_mm
    from brats_mm.errors import BundleError
    from brats_mm.io.bundle import default_bundle

    excluded = {Path.home().resolve(), Path.cwd().resolve(), Path("/")}
    packages = [Path(brats_mm.__file__).resolve().parent, Path(__file__).resolve().parent]
    with suppress(BundleError):
        packages.append(default_bundle().parent)
    entries = [sys.prefix, sys.base_prefix, *sys.path, *os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)]
    folders = [Path(entry).resolve() for entry in entries if entry]
    paths = [
        folder
        for folder in folders
        if folder not in excluded and not any(path.is_relative_to(folder) for path in excluded)
    ]
    return [*map(str, dict.fromkeys([*packages, *paths])), *SYSTEM]


def _allow(ruleset: int, path: Path | str, access: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not Path(path).is_dir():
            access &= _ON_FILES
        rule = _PathBeneath(access, handle)
        _check_result(_make_syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(handle)


def _load_libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _make_syscall(number: int, *values: object) -> int:
    return int(_load_libc().syscall(ctypes.c_long(number), *values))


def _check_result(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        message = f"Landlock: {os.strerror(code)}"
        raise ConfinementError(code, message)
    return result
