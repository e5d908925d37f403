"""Limits of concurrent operations, in total and per caller, for one event loop."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class NoSlot(Exception):  # noqa: N818 (a state of the service)
    """All slots are in use. The message states the limit."""


class Slots:
    """Slots for uploads, or for streams of events.

    Args:
        name: plural name of the operations, for messages.
        total: total number of slots.
        per_caller: maximum number of slots per caller.
    """

    def __init__(self, name: str, total: int, per_caller: int) -> None:
        self._what = name
        self._total = total
        self._per_caller = per_caller
        self._held: Counter[str] = Counter()

    def check(self, caller: str) -> None:
        """Raise NoSlot if no slot is free."""
        if self._held[caller] >= self._per_caller:
            raise NoSlot(f"You have {self._held[caller]} {self._what} active, the maximum per caller.")
        if sum(self._held.values()) >= self._total:
            raise NoSlot(f"{sum(self._held.values())} {self._what} are active, the maximum of this service.")

    @contextmanager
    def held(self, caller: str) -> Iterator[None]:
        """Hold a slot inside the block.

        Raises:
            NoSlot: no slot is free.
        """
        self.check(caller)
        self._held[caller] += 1
        try:
            yield
        finally:
            self._held[caller] -= 1
            if not self._held[caller]:
                del self._held[caller]
