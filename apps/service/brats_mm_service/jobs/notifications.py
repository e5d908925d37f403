"""Thread-safe job notifications for asyncio.

with notifications.subscribe(job.id) as subscription:
    while not_yet():
        await subscription.wait(timeout_s=15)
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Subscription:
    """A subscriber on an event loop. It does not miss changes between two calls of `wait`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    async def wait(self, timeout_s: float) -> None:
        """Wait for a change since the last call, at most `timeout_s` seconds."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        self._changed.clear()

    def notify(self) -> None:
        """Record a change. Callable from any thread."""
        with suppress(RuntimeError):  # the loop is closed, so nobody waits
            self._loop.call_soon_threadsafe(self._changed.set)


class JobNotifications:
    """Subscriptions by job."""

    def __init__(self) -> None:
        self._subscriptions: dict[str, set[Subscription]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def subscribe(self, job_id: str) -> Iterator[Subscription]:
        """Subscribe to the changes of a job inside the block. Enter it before reading the job."""
        subscription = Subscription()
        with self._lock:
            self._subscriptions.setdefault(job_id, set()).add(subscription)
        try:
            yield subscription
        finally:
            with self._lock:
                remaining = self._subscriptions[job_id]
                remaining.discard(subscription)
                if not remaining:
                    del self._subscriptions[job_id]

    def notify(self, job_id: str) -> None:
        """Notify the subscribers of a job."""
        with self._lock:
            subscriptions = tuple(self._subscriptions.get(job_id, ()))
        for subscription in subscriptions:
            subscription.notify()
