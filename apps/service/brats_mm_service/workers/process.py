"""Handle to a worker process: start, communicate, measure, stop."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from brats_mm.execution.tasks import describe_exit
from brats_mm_service.logs import log
from brats_mm_service.settings import WorkerSettings
from brats_mm_service.workers.process_memory import read_resident_bytes

_MAX_MESSAGE_BYTES = 1 << 20
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT")
_PREFIXES = ("CUDA_", "NVIDIA_", "OMP_", "MKL_", "OPENBLAS_")

COMMAND = (sys.executable, "-m", "brats_mm_service.workers.inference")
TRAINING_COMMAND = (sys.executable, "-m", "brats_mm_service.workers.training")


class WorkerProcess:
    """A worker on this machine."""

    retry_on_crash = False  # a local crash, such as lack of memory, is caused by the job

    def __init__(self, settings: WorkerSettings, command: Sequence[str] = COMMAND, *, jobs: Path | None = None) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=build_worker_environment(),
            start_new_session=True,  # the service handles Ctrl-C in the terminal
        )
        self._messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.started: float | None = time.monotonic()
        self._has_jobs = False
        self.last_heartbeat = time.monotonic()
        self._readers = [
            threading.Thread(target=read, daemon=True) for read in (self._read_messages, self._read_errors)
        ]
        for reader in self._readers:
            reader.start()
        self.send({**settings.start_message(), "jobs": None if jobs is None else str(jobs.absolute())})

    @property
    def pid(self) -> int:
        """Process ID."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is still running."""
        return self._process.poll() is None

    def send(self, command: dict[str, Any]) -> None:
        """Send a command. A dead process is detected by the end of its events."""
        assert self._process.stdin is not None
        self._has_jobs = self._has_jobs or "command" in command
        try:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            log("worker_deaf", pid=self.pid)

    def receive(self, timeout_s: float) -> dict[str, Any] | None:
        """Return the next event other than a heartbeat, or None after the timeout or if the process has ended."""
        end = time.monotonic() + timeout_s
        while (remaining_s := end - time.monotonic()) > 0:
            try:
                message = self._messages.get(timeout=remaining_s)
            except queue.Empty:
                return None
            if message is None:
                self._process.wait()
                return None
            self.last_heartbeat = time.monotonic()
            if message.get("event") != "alive":
                return message
        return None

    def kill(self) -> None:
        """Kill the process group at once. A surviving child would keep the pipes open."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        for reader in self._readers:
            reader.join(timeout=1)
        if any(reader.is_alive() for reader in self._readers):
            return  # closing a pipe blocks while a thread reads it
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    log("worker_pipe", pid=self.pid)

    def measure_resident_bytes(self) -> int:
        """Return the resident memory in bytes, or 0 if unknown."""
        return read_resident_bytes(self.pid)

    def death(self) -> str:
        """Describe how the process ended."""
        code = self._process.poll()
        return "it is still running" if code is None else describe_exit(code)

    def _read_messages(self) -> None:
        assert self._process.stdout is not None
        try:
            while line := self._process.stdout.readline(_MAX_MESSAGE_BYTES):
                self._messages.put(json.loads(line))
        except (ValueError, OSError):  # (an incomplete line of a stopped process, or a closed pipe)
            pass
        self._messages.put(None)

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        try:
            for line in self._process.stderr:
                if self._has_jobs:
                    continue  # output of a library about an upload may contain a patient's name
                log("worker_output", level="debug", line=line.decode("utf-8", "replace").rstrip()[:500])
        except (ValueError, OSError):
            pass


def build_worker_environment() -> dict[str, str]:
    """Return the environment of a worker: module paths and threads, without the service's secrets."""
    variables = {key: os.environ[key] for key in os.environ if key in _INHERITED or key.startswith(_PREFIXES)}
    python = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONUNBUFFERED": "1"}
    # PyTorch's compiler reads the user name, but a confined worker cannot access /etc/passwd.
    return {"USER": "brats-mm", **variables, **python}
