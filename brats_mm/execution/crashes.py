"""Descriptions and rules for crashed workers, shared by all kinds of workers."""

import logging
import os
import signal
import threading
from collections.abc import Callable

STARTS = 3
"""Maximum number of consecutive crashes while the model is loaded. After more, no task can be computed."""

logger = logging.getLogger(__name__)


def describe_exit(code: int | None) -> str:
    """Describe how a process ended.

    >>> describe_exit(-9), describe_exit(3)
    ('signal SIGKILL', 'exit code 3')
    """
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def start_or_exit(work: Callable[..., object], *arguments: object) -> None:
    """Run a function in a daemon thread. An exception ends the process, because the thread is not supervised."""

    def run() -> None:
        try:
            work(*arguments)
        except BaseException:
            logger.exception("A worker ends because of an unexpected error.")
            os._exit(1)

    threading.Thread(target=run, daemon=True).start()
