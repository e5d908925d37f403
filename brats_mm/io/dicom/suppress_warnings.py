"""Silence around whatever reads or writes headers: pydicom and highdicom quote odd values, and a name can be one."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

_LOUD = ("pydicom", "highdicom")
_ABOVE_ALL = logging.CRITICAL + 1


@contextmanager
def without_warnings() -> Iterator[None]:
    """No warning, and no log line of pydicom or highdicom, as long as the block lasts.

    Blocks may be nested, and run in several threads at once: the last that ends puts the filters back.

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
    """How many blocks there are, and how it was before them. Filters of warnings are the process's, not a thread's."""

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
