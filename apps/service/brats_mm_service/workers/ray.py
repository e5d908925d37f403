"""A worker on a Ray cluster: an actor with the model, and the service's handle to it.

Commands and events are those of a local worker, a few hundred bytes each. Files stay in the service's data folder,
which all machines mount at the same path. If a machine is lost, the service requests new actors and retries the job in
a new folder, so a disconnected actor cannot corrupt the result.
"""

import os
import queue
import socket
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from brats_mm.execution.ray_cluster import ActorShare, set_compute_threads, start_actor
from brats_mm.execution.tasks import start_or_exit
from brats_mm_service.logs import log
from brats_mm_service.settings import Settings
from brats_mm_service.workers.inference import Commands, Outlet, work

_LISTEN_S = 5.0

Work = Callable[[dict[str, Any], Commands, Outlet], None]
"""Function that runs in an actor, with its start message, commands and event sink."""


class WorkerActor:
    """Actor in a worker process of Ray."""

    def __init__(self, start: dict[str, Any], threads: int, task: Work) -> None:
        set_compute_threads(threads)
        self._commands = Commands()
        self._messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.emit("started", pid=os.getpid())
        if not Path(start["data"]).is_dir():
            self.emit("unable", kind="model", detail=_describe_unshared_folder(start["data"]))
            return
        start_or_exit(task, start, self._commands, self)

    def emit(self, event: str, **values: object) -> None:
        """Store an event until it is fetched."""
        self._messages.put({"event": event, **values})

    def send(self, command: dict[str, Any]) -> None:
        """Process a command."""
        self._commands.put(command)

    def receive(self, timeout_s: float) -> list[dict[str, Any]]:
        """Wait for an event and return all available ones."""
        messages = []
        try:
            messages.append(self._messages.get(timeout=timeout_s))
            while True:
                messages.append(self._messages.get_nowait())
        except queue.Empty:
            return messages


class RayWorker:
    """Handle to an actor. The process must have joined the cluster."""

    retry_on_crash = True

    def __init__(self, settings: Settings, share: ActorShare, task: Work = work) -> None:
        start = {"data": str(settings.data.absolute()), **settings.worker.start_message()}
        self.pid: int | None = None
        self.started: float | None = None
        self.last_heartbeat = time.monotonic()
        self._resident = 0
        self._death = ""
        self._messages: deque[dict[str, Any]] = deque()
        self._actor = start_actor(WorkerActor, share, start, share.threads, task, calls=2)
        self._coming = self._actor.receive.remote(_LISTEN_S)

    @property
    def running(self) -> bool:
        """Whether the worker is running or starting."""
        return not self._death

    def send(self, command: dict[str, Any]) -> None:
        """Send a command."""
        self._actor.send.remote(command)

    def receive(self, timeout_s: float) -> dict[str, Any] | None:
        """Return the next event other than a heartbeat, or None after the timeout or if the worker is lost."""
        end = time.monotonic() + timeout_s
        while True:
            while self._messages:
                message = self._messages.popleft()
                if not self._is_internal(message):
                    return message
            remaining_s = end - time.monotonic()
            if remaining_s <= 0 or not self.running or not self._fetch_events(remaining_s):
                return None

    def kill(self) -> None:
        """Stop the actor at once, or cancel its request."""
        import ray

        self._death = self._death or "it was stopped"
        try:
            ray.kill(self._actor)
        except Exception as error:  # noqa: BLE001 (the cluster itself may be gone)
            log("worker_not_killed", level="warning", error=type(error).__name__)

    def measure_resident_bytes(self) -> int:
        """Return the last reported resident memory in bytes."""
        return self._resident

    def death(self) -> str:
        """Describe how the actor ended."""
        return self._death or "it is still running"

    def _fetch_events(self, timeout_s: float) -> bool:
        """Return whether events have arrived in time."""
        import ray
        from ray.exceptions import RayError

        ready, _ = ray.wait([self._coming], timeout=timeout_s)
        if not ready:
            return False
        try:
            self._messages.extend(ray.get(self._coming))
        except RayError as error:
            self._death = f"it is no longer on the cluster, {type(error).__name__}"
            return False
        self.last_heartbeat = time.monotonic()
        self._coming = self._actor.receive.remote(_LISTEN_S)
        return True

    def _is_internal(self, message: dict[str, Any]) -> bool:
        """Return whether an event, such as a heartbeat, only concerns this handle."""
        if message["event"] == "started":
            self.pid, self.started = message["pid"], time.monotonic()
            return True
        if message["event"] == "alive":
            self._resident = message["resident"]
            return True
        return False


def _describe_unshared_folder(folder: str) -> str:
    return (
        f"The service's data folder {folder} is not on {socket.gethostname()}, a machine of the cluster. Mount it "
        "under this path on each machine."
    )
