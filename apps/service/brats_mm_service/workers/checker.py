"""Handle of the service to the process that reads uploads. The service itself does not parse uploaded files."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from brats_mm.pipeline.dicom_study import SeriesOverrides
from brats_mm_service.logs import log
from brats_mm_service.problems import Problem
from brats_mm_service.settings import MIB, UploadLimits
from brats_mm_service.uploads.multipart import ReceivedFile
from brats_mm_service.uploads.sorted_upload import SortedUpload
from brats_mm_service.viewer.intake import SortedViewerFiles, StoredLabel
from brats_mm_service.workers.process import build_worker_environment

_COMMAND = (sys.executable, "-m", "brats_mm_service.workers.checker_process")
_MAX_ANSWER_BYTES = 64 * MIB

R = TypeVar("R")


class UploadChecker:
    """Sort and check uploads in forks of a confined process. Methods can be called from any thread.

    Every method raises Problem if the upload cannot be used, and OSError if the disk is full.
    """

    def __init__(self, limits: UploadLimits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self) -> None:
        """Start the process."""
        with self._lock:
            self._ensure_running()

    def stop(self) -> None:
        """Stop the process."""
        with self._lock:
            self._drop()

    @property
    def pid(self) -> int | None:
        """Return the ID of its process, or None."""
        process = self._process
        return None if process is None else process.pid

    def sort_upload(
        self, files: Sequence[ReceivedFile], folder: Path, *, dicom: SeriesOverrides | None = None
    ) -> SortedUpload:
        """See `uploads.intake.sort_upload`."""
        arguments = {"files": files, "folder": folder, "limits": self._limits, "dicom": dicom}
        return self._call("sort_upload", SortedUpload, [folder], arguments)

    def sort_viewer_files(self, files: Sequence[ReceivedFile], folder: Path, *, hint: str = "") -> SortedViewerFiles:
        """See `viewer.intake.sort_viewer_files`."""
        arguments = {"files": files, "folder": folder, "limits": self._limits, "hint": hint}
        return self._call("sort_viewer_files", SortedViewerFiles, [folder], arguments)

    def store_label(self, file: ReceivedFile, folder: Path, image: str, value_names: Mapping[int, int]) -> StoredLabel:
        """See `viewer.intake.store_label`."""
        arguments = {"file": file, "folder": folder, "image": image, "value_names": dict(value_names)}
        return self._call("store_label", StoredLabel, [folder], arguments)

    def score_label(self, folder: Path) -> dict[str, dict[str, float | None]]:
        """See `viewer.intake.score_label`."""
        return self._call("score_label", dict[str, dict[str, float | None]], [folder], {"folder": folder})

    def store_study(self, unpacked: Path, folder: Path, overrides: SeriesOverrides) -> SortedUpload:
        """See `uploads.dicom.store_study`."""
        arguments = {"unpacked": unpacked, "folder": folder, "overrides": overrides}
        return self._call("store_study", SortedUpload, [unpacked, folder], arguments)

    def inspect_zip(self, path: Path, folder: Path, overrides: SeriesOverrides) -> dict[str, Any]:
        """See `uploads.inspection.inspect_zip`."""
        arguments = {"path": path, "folder": folder, "limits": self._limits, "overrides": overrides}
        return self._call("inspect_zip", dict[str, Any], [folder], arguments)

    def _call(self, task: str, result: type[R], folders: Sequence[Path], arguments: dict[str, Any]) -> R:
        limits = self._limits
        request = {
            "task": task,
            "folders": [str(folder.absolute()) for folder in folders],
            "memory_bytes": limits.check_bytes,
            "seconds": int(limits.check_s),
            "arguments": arguments,
        }
        response = json.loads(self._exchange(json.dumps(to_jsonable_python(request)).encode() + b"\n") or b"{}")
        if "result" in response:
            return TypeAdapter(result).validate_python(response["result"])
        if "problem" in response:
            kind, detail = response["problem"]
            raise Problem(kind, detail)
        if "os_error" in response:
            raise OSError(response["os_error"], "upload")
        if "error" in response:
            log("upload_error", level="error", error=response["error"], task=task)
            raise Problem("bad-case", "The upload cannot be read. Create its files again, or send them separately.")
        process = self._process
        if process is None or process.poll() is not None:
            log("checker_died", level="error")
            raise Problem("unavailable", "The upload checker is restarting.", {"Retry-After": "5"})
        message = (
            f"Reading the upload takes more than {limits.check_bytes // MIB} MiB of memory or {limits.check_s:g} s, "
            "the limits of this service. Send fewer or smaller files."
        )
        raise Problem("too-large", message)

    def _exchange(self, request: bytes) -> bytes:
        """Send a request to a fork and return its reply, which is empty if the fork died."""
        our_end, worker_end = socket.socketpair()
        with our_end:
            with worker_end:
                self._hand_over(worker_end)
            our_end.settimeout(self._limits.check_s + 10)
            received = bytearray()
            with suppress(OSError):
                our_end.sendall(request)
                while chunk := our_end.recv(1 << 16):
                    received += chunk
                    if len(received) > _MAX_ANSWER_BYTES:
                        return b""
            return bytes(received)

    def _hand_over(self, connection: socket.socket) -> None:
        with self._lock:
            try:
                socket.send_fds(self._ensure_running(), [b"x"], [connection.fileno()])
            except OSError:
                log("checker_restarted", level="warning")
                self._drop()
                socket.send_fds(self._ensure_running(), [b"x"], [connection.fileno()])

    def _ensure_running(self) -> socket.socket:
        if self._control is not None and self._process is not None and self._process.poll() is None:
            return self._control
        self._drop()
        our_end, worker_end = socket.socketpair()
        with worker_end:
            environment = {**build_worker_environment(), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            self._process = subprocess.Popen(
                _COMMAND,
                stdin=worker_end.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        self._control = our_end
        return our_end

    def _drop(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            with suppress(OSError):
                os.killpg(self._process.pid, 9)
            self._process.wait()
        self._control = self._process = None
