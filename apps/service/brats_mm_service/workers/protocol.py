"""The worker protocol: commands in, events out, wherever the worker runs.

Commands are `segment` or `train`, and `cancel`, as in `{"command": "segment", "job": ...}`. A training also takes
`pause` and `resume`. Events are one `ready` or `unable`, then any number of `progress` and one `done` or `failed` per
job, with `alive` in between.
"""

from collections.abc import Callable
from typing import Any, Protocol


class Worker(Protocol):
    """Holds the model and computes one job at a time. Used from one thread."""

    @property
    def pid(self) -> int | None:
        """Process ID on its machine. None if unknown."""

    @property
    def running(self) -> bool:
        """Whether the worker is running or still to start."""

    @property
    def started(self) -> float | None:
        """Monotonic time at which it began to load the model. None while it waits for a machine."""

    @property
    def last_heartbeat(self) -> float:
        """When it was last heard of, by the same clock."""

    @property
    def retry_on_crash(self) -> bool:
        """Whether it may go through no fault of its job's, with its machine: then the job is worth another attempt."""

    def send(self, command: dict[str, Any]) -> None:
        """Send a command. `running` tells whether the worker is gone."""

    def receive(self, timeout_s: float) -> dict[str, Any] | None:
        """Return the next event except heartbeats. None after the timeout or if the worker is gone."""

    def kill(self) -> None:
        """Stop it at once."""

    def resident_bytes(self) -> int:
        """Return the resident memory. 0 if unknown."""

    def death(self) -> str:
        """Describe how it ended."""


Spawn = Callable[[], Worker]
"""Starts a worker."""
