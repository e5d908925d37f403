"""Measure time without the time in which other programs used the processor."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Stopwatch:
    """Seconds of a block.

    Attributes:
        wall_s: time that passed.
        own_s: the same, less the time that threads were ready to run and waited for a processor, but at least the
            processor time of this process. Sleeping, and waiting for locks, files or sockets, counts. Load by other
            programs does not.
    """

    wall_s = 0.0
    own_s = 0.0


@contextmanager
def stopwatch(*, children: bool = False) -> Iterator[Stopwatch]:
    """Measure the block, and set the attributes of what it yields at its end.

    Args:
        children: whether the block also waits for processes that this one has started.
    """
    watch = Stopwatch()
    start, start_cpu, before = time.monotonic(), time.process_time(), _waits(children=children)
    try:
        yield watch
    finally:
        after = _waits(children=children)
        watch.wall_s = time.monotonic() - start
        waited = sum(value - before.get(thread, 0) for thread, value in after.items())
        watch.own_s = max(watch.wall_s - waited / 1e9, time.process_time() - start_cpu)


def _waits(*, children: bool) -> dict[str, int]:
    """Return the nanoseconds that each thread waited for a processor, or nothing if the system does not count them."""
    waits = {}
    todo = [os.getpid()]
    while todo:
        for task in Path(f"/proc/{todo.pop()}/task").glob("*"):
            with suppress(OSError):  # the thread has ended, or the system does not count
                waits[task.name] = int((task / "schedstat").read_text().split()[1])
                todo += map(int, (task / "children").read_text().split()) if children else ()
    return waits
