"""The worker protocol: commands in, events out, wherever the worker runs.

Commands are `{"command": "segment", "job": ...}` and `{"command": "cancel", "job": ...}`. Events are one `ready` or
`unable`, then any number of `progress` and one `done` or `failed` per job, with `alive` in between.
"""

from collections.abc import Callable
from typing import Any, Protocol


class Worker(Protocol):
    """Holds the model and computes one job at a time. Used from one thread."""

    @property
    def pid(self) -> int | None:
        """Its process's number, on its machine; None while that is not known."""

    @property
    def running(self) -> bool:
        """Whether it is still there, or still to come."""

    @property
    def started(self) -> float | None:
        """When it began to load the model, by the monotonic clock; None while it waits for a machine with room."""

    @property
    def last_heartbeat(self) -> float:
        """When it was last heard of, by the same clock."""

    @property
    def retry_on_crash(self) -> bool:
        """Whether it may go through no fault of its job's, with its machine: then the job is worth another attempt."""

    def send(self, command: dict[str, Any]) -> None:
        """Send a command; one that is gone is noticed by `running`."""

    def receive(self, timeout_s: float) -> dict[str, Any] | None:
        """The next message but signs of life; None if there is none in time, or it is gone."""

    def kill(self) -> None:
        """Stop it at once."""

    def resident_bytes(self) -> int:
        """Memory that it holds; 0 where that is not known."""

    def death(self) -> str:
        """How it ended, for people."""


Spawn = Callable[[], Worker]
"""Starts a worker."""
