"""Worker protocol: commands and events, for local and remote workers.

Commands are `segment` or `train`, and `cancel`, as in `{"command": "segment", "job": ...}`. A training run also takes
`pause` and `resume`. Events are one `ready` or `unable`, then any number of `progress` and one `done` or `failed` per
job, with `alive` in between.
"""

from collections.abc import Callable
from typing import Any, Protocol


class Worker(Protocol):
    """Worker that holds the model and computes one job at a time. Used from one thread."""

    @property
    def pid(self) -> int | None:
        """Process ID on its machine. None if unknown."""

    @property
    def running(self) -> bool:
        """Whether the worker is running or starting."""

    @property
    def started(self) -> float | None:
        """Monotonic time at which the worker began to load the model. None while it waits for a machine."""

    @property
    def last_heartbeat(self) -> float:
        """Monotonic time of the last event or heartbeat."""

    @property
    def retry_on_crash(self) -> bool:
        """Whether the worker can be lost with its machine. If so, its job is retried."""

    def send(self, command: dict[str, Any]) -> None:
        """Send a command. Check `running` to detect a lost worker."""

    def receive(self, timeout_s: float) -> dict[str, Any] | None:
        """Return the next event other than a heartbeat, or None after the timeout or if the worker is lost."""

    def kill(self) -> None:
        """Stop the worker at once."""

    def measure_resident_bytes(self) -> int:
        """Return the resident memory in bytes, or 0 if unknown."""

    def death(self) -> str:
        """Describe how the worker ended."""


Spawn = Callable[[], Worker]
"""Function that starts a worker."""
