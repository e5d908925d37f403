"""Handle signals, refused paths, and exhausted memory or disks."""

import errno
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from brats_mm.cli.command import EXIT_FAULT, EXIT_INPUT, EXIT_INTERRUPTED
from brats_mm.errors import ResourceError, is_out_of_memory

_END_SIGNALS = ("SIGTERM", "SIGHUP")

_MIN_ADDRESS_SPACE = 5 << 29
"""Smallest address space, 2.5 GiB. With less, libraries fail with obscure errors or hang."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE)
_REFUSED = (
    *(errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENOENT),
    *(errno.EROFS, errno.EINVAL, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.EEXIST),
)


class Terminated(KeyboardInterrupt):
    """Raised when a signal asks the command to stop, like KeyboardInterrupt for Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """Exit code as in shells: 143 after SIGTERM, 129 after SIGHUP."""
        return 128 + self.number


def choose_interrupt_code(interrupt: KeyboardInterrupt) -> int:
    """Return the exit code of an interrupted command: 130 after Ctrl-C, and that of the signal after `Terminated`."""
    return interrupt.exit_code if isinstance(interrupt, Terminated) else EXIT_INTERRUPTED


def silence_libraries() -> None:
    """Silence the logs, warnings and prints of libraries. Keep their errors, and the warnings of this package."""
    warnings.simplefilter("ignore")
    logging.getLogger().setLevel(logging.ERROR)
    logging.getLogger("brats_mm").setLevel(logging.WARNING)
    if sys.stderr is not sys.__stderr__ or sys.stdout is not sys.__stdout__:  # streams of a host, such as pytest
        return
    with suppress(OSError, ValueError, AttributeError):
        for stream in (sys.stdout, sys.stderr):
            _move_to_own_descriptor(stream)


def _move_to_own_descriptor(stream: Any) -> None:
    """Move a stream to a new descriptor, and its old one, which native libraries write to, to the null device."""
    old = stream.fileno()
    stream.flush()
    duplicate = os.fdopen(os.dup(old), "w", encoding=stream.encoding, errors=stream.errors)
    setattr(sys, "stdout" if stream is sys.stdout else "stderr", duplicate)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, old)
    os.close(nowhere)


@contextmanager
def terminate_on_signals() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM and SIGHUP inside the block, so that the command can clean up.

    Ignored signals stay ignored, such as SIGHUP under `nohup`. A second signal does not interrupt the cleanup.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in _END_SIGNALS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}

    def end(number: int, _: FrameType | None) -> None:
        for signum in before:
            signal.signal(signum, signal.SIG_IGN)
        raise Terminated(number)

    changed = [number for number, handler in before.items() if handler is signal.SIG_DFL]
    try:
        for number in changed:
            signal.signal(number, end)
        yield
    finally:
        for number in changed:
            signal.signal(number, before[number])


def check_address_space() -> None:
    """Raise ResourceError if the address space is too small to load the libraries."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY or limit >= _MIN_ADDRESS_SPACE:
        return
    raise ResourceError(
        f"This process is limited to {limit / 2**30:.1f} GiB of address space, but this command needs at least "
        f"{_MIN_ADDRESS_SPACE / 2**30:.1f} GiB. Raise the limit (`ulimit -v`, or the memory limit of the batch job)."
    )


def explain_error(error: BaseException) -> tuple[str, int] | None:
    """Return the message and exit code for a system error, or None if the error is a bug."""
    if is_out_of_memory(error):
        message = (
            "Out of memory. Close other programs, raise the memory limit of this process, or use smaller windows "
            "(--window 96)."
        )
        return message, EXIT_FAULT
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop from"):  # pathlib before Python 3.13
        return f"{error}. Check the path: its links refer to each other.", EXIT_INPUT
    if not isinstance(error, OSError):
        return None
    subject = f"{error.filename}" if error.filename else "A file"
    if error.errno in _FULL:
        return f"{subject} could not be accessed: {error.strerror}. Free space, or use another disk.", EXIT_FAULT
    if error.errno in _REFUSED:
        return f"{subject} could not be accessed: {error.strerror}. Check the path and its permissions.", EXIT_INPUT
    return None
