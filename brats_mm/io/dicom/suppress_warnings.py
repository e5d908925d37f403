"""Suppress warnings and logs of pydicom and highdicom, which quote header values and so can reveal names."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

_LOUD = ("pydicom", "highdicom")
_ABOVE_ALL = logging.CRITICAL + 1


@contextmanager
def suppress_warnings() -> Iterator[None]:
    """Suppress all warnings, and the logs of pydicom and highdicom, inside the block.

    Blocks may be nested and run in several threads at once. The last one to end restores the filters.

    Raises:
        ImportError: pydicom is not installed.
    """
    import pydicom  # noqa: F401 (sets the level of its log when it is imported)

    _SILENCE.begin()
    try:
        yield
    finally:
        _SILENCE.end()


@dataclass(eq=False)
class _Silence:
    """Number of open blocks, and the state to restore. Warning filters are per process, not per thread."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    before: ExitStack = field(default_factory=ExitStack)
    blocks: int = 0

    def begin(self) -> None:
        with self.lock:
            if self.blocks == 0:
                self.before.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
                for log in map(logging.getLogger, _LOUD):
                    self.before.callback(log.setLevel, log.level)
                    log.setLevel(_ABOVE_ALL)
            self.blocks += 1

    def end(self) -> None:
        with self.lock:
            self.blocks -= 1
            if self.blocks == 0:
                self.before.close()


_SILENCE = _Silence()
