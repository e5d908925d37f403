"""Worker process of the local engine: load the model once and compute received tasks.

Nothing heavy is imported before the first task.
"""

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection

from brats_mm.errors import BratsMMError
from brats_mm.execution.tasks import MakeRunner, Task

END_SIGNALS = {getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)}
"""Signals that end a program, besides Ctrl-C. They are blocked while a worker starts."""


@dataclass(frozen=True)
class Ready:
    """The model is loaded."""


@dataclass(frozen=True)
class Unable:
    """The model could not be loaded, for the given reason."""

    error: BratsMMError


class Inbox:
    """Non-blocking iterator over received tasks. Yields None while there is no task."""

    def __init__(self, pipe: "Connection[object, object]") -> None:
        self._pipe = pipe

    def __iter__(self) -> Iterator[Task | None]:
        return self

    def __next__(self) -> Task | None:
        if not self._pipe.poll(0):
            return None
        task = self._pipe.recv()
        assert isinstance(task, Task)
        return task

    def wait(self) -> None:
        """Wait for a task.

        Raises:
            EOFError: the connection was closed.
        """
        self._pipe.poll(None)


def work(pipe: "Connection[object, object]", make_runner: MakeRunner, slot: int, threads: int) -> None:
    """Run the process.

    Args:
        pipe: connection for tasks and results.
        make_runner: function that loads the model.
        slot: number of the worker, from 0.
        threads: number of compute threads. 0 is the default of the libraries.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the planner handles Ctrl-C
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, END_SIGNALS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        runner = make_runner(slot)
    except BratsMMError as error:
        pipe.send(Unable(error))
        return
    inbox = Inbox(pipe)
    pipe.send(Ready())
    try:
        while True:
            inbox.wait()
            for result in runner.run(inbox):
                pipe.send(result)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _end_with_parent() -> None:
    """End this process when its parent ends, even if the parent is killed."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
