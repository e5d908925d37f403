"""Who waits for a job is told when something about it has changed, from whatever thread it was changed in.

with changes.of(job.id) as mine:
    while not_yet():
        await mine.next(timeout_s=15)
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Waiter:
    """One who waits, on an event loop; a change between two calls of `next` is not missed."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    async def next(self, timeout_s: float) -> None:
        """Wait for a change since the last call, or for that long."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        self._changed.clear()

    def tell(self) -> None:
        """There is a change; called from any thread."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
            self._loop.call_soon_threadsafe(self._changed.set)


class Changes:
    """Those who wait, by what they wait for."""

    def __init__(self) -> None:
        self._waiters: dict[str, set[Waiter]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def of(self, job_id: str) -> Iterator[Waiter]:
        """Be told of a job's changes inside the block; enter it before looking at the job."""
        waiter = Waiter()
        with self._lock:
            self._waiters.setdefault(job_id, set()).add(waiter)
        try:
            yield waiter
        finally:
            with self._lock:
                left = self._waiters[job_id]
                left.discard(waiter)
                if not left:
                    del self._waiters[job_id]

    def tell(self, job_id: str) -> None:
        """Something about that job has changed."""
        with self._lock:
            waiters = tuple(self._waiters.get(job_id, ()))
        for waiter in waiters:
            waiter.tell()
