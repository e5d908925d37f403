"""Audit log of submitted, read and deleted data. Separate from diagnostics, and without patient data.

`audit.jsonl` in the data folder has one JSON object per line: time, caller, method, route, status and job ID. The route
is a template, never the requested path. The service only appends, and the operator rotates the file.
"""

import json
import os
import threading
import time
from pathlib import Path

from brats_mm_service.logs import log

FILE = "audit.jsonl"


class AuditLog:
    """Appends to the audit log of a data folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._lock = threading.Lock()

    def note(self, caller: str, method: str, route: str, status: int, *, job: str | None = None) -> None:
        """Append a request of an authenticated caller.

        Args:
            caller: the authenticated caller.
            method: HTTP method.
            route: template of the route, without values.
            status: HTTP status of the response.
            job: ID of the job that the request concerns, if any.
        """
        now = time.time()
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
        entry = {"time": when, "caller": caller, "method": method, "route": route, "status": status}
        line = json.dumps({**entry, "job": job} if job is not None else entry) + "\n"
        try:
            with self._lock:
                handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                try:
                    os.write(handle, line.encode())
                finally:
                    os.close(handle)
        except OSError as error:
            log("audit_error", level="error", code=error.errno)
