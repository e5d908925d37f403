"""Process that reads untrusted uploads, with one fork per upload. Forks are confined and limited in memory and time.

It receives one socket per upload over its standard input, which is also a socket. A fork reads a request from it and
responds, both as JSON documents. A fork that dies sends no response. The process ends with the service.
"""

import json
import os
import resource
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import validate_call
from pydantic_core import to_jsonable_python

from brats_mm.errors import BratsMMError
from brats_mm_service.confinement import DEVICES, confine, list_library_paths
from brats_mm_service.problems import Problem, find_error_kind
from brats_mm_service.uploads.dicom import store_study
from brats_mm_service.uploads.inspection import inspect_zip
from brats_mm_service.uploads.intake import sort_upload
from brats_mm_service.viewer.intake import score_label, sort_viewer_files, store_label

TASKS: Mapping[str, Callable[..., Any]] = {
    task.__name__: task for task in (inspect_zip, score_label, sort_upload, sort_viewer_files, store_label, store_study)
}
_PRELOADED = ("pydicom", "nibabel")


def main() -> None:
    """Fork for each upload until the service exits."""
    for name in _PRELOADED:
        __import__(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps forks that have ended
    with socket.socket(fileno=0) as control:
        while True:
            received, handles, *_ = socket.recv_fds(control, 1, 1)
            if not received:
                return
            if os.fork() == 0:
                control.close()
                _serve(handles[0])
            os.close(handles[0])


def _serve(handle: int) -> None:
    try:
        with socket.socket(fileno=handle) as connection, connection.makefile("rwb") as stream:
            response = _answer(json.loads(stream.readline()))
            stream.write(json.dumps(response).encode())
    finally:
        os._exit(0)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    """Perform a task and return its `result`, a `problem`, or the error of the operating system."""
    try:
        _confine(request)
        result = validate_call(TASKS[request["task"]])(**request["arguments"])
        return {"result": to_jsonable_python(result)}
    except Problem as problem:
        return {"problem": [problem.kind, problem.detail]}
    except BratsMMError as error:
        return {"problem": [find_error_kind(error), str(error)]}
    except MemoryError:
        return {}
    except OSError as error:
        return {"os_error": error.errno}
    except Exception as error:  # noqa: BLE001 (outermost handler; the message could quote the upload)
        return {"error": type(error).__name__}


def _confine(request: dict[str, Any]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = _read_data_bytes() + request["memory_bytes"]
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    signal.alarm(request["seconds"])
    confine([*list_library_paths(), *DEVICES], request["folders"])


def _read_data_bytes() -> int:
    """Return the memory that already counts towards RLIMIT_DATA, in bytes."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("VmData:"))


if __name__ == "__main__":
    main()
