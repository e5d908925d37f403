"""A service on a free local port, for tests over HTTP."""

import json
import socket
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import uvicorn

from brats_mm_service.app import create_app
from brats_mm_service.connections import build_server_config
from brats_mm_service.settings import Retention, Settings, UploadLimits, WorkerSettings
from brats_mm_service.workers.process import WorkerProcess

FAKE = Path(__file__).with_name("service_worker.py")
# Limits only end tests that hang. On a busy machine, a short step can take a minute.
LONGEST_S = 600.0


def small_settings(data, **changes):
    """Return settings for tests: short intervals, little disk space, and long time limits for busy machines."""
    uploads = UploadLimits(free_bytes=0, idle_s=LONGEST_S, check_s=LONGEST_S)
    worker = WorkerSettings(start_s=2 * LONGEST_S, silent_s=2 * LONGEST_S)
    settings = Settings(data=data, uploads=uploads, worker=worker, retention=Retention(sweep_s=0.1))
    return replace(settings, **changes)


@contextmanager
def serving(settings, *, behaviour=None, app=None):
    """Run a service and yield a client. The worker is a fake unless `behaviour` is "real"."""

    def spawn():
        return WorkerProcess(settings.worker, (sys.executable, str(FAKE), json.dumps(behaviour or {})))

    app = app or create_app(settings, None if behaviour == "real" else spawn)
    # The socket stays bound, so that no other program takes the port before the service listens.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = uvicorn.Server(
            build_server_config(app, settings or app.state.service.settings, port=port, timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            until(lambda: server.started or not thread.is_alive())
            assert server.started, "the service did not start"
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=LONGEST_S, trust_env=False) as client:
                client.service = app.state.service
                yield client
        finally:
            server.should_exit = True
            thread.join(timeout=LONGEST_S)
            assert not thread.is_alive(), "the service did not stop"


def until(condition, timeout_s=LONGEST_S, pause_s=0.02):
    """Wait for a condition and return its value. Long waits check less often, to save processor time."""
    end = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(pause_s)
    return value


def ended(client, job_id, timeout_s=LONGEST_S):
    """Wait for a job to end, and return it."""

    def look():
        job = client.get(f"/v1/jobs/{job_id}").json()
        return job if job["state"] not in ("queued", "running") else None

    return until(look, timeout_s)


def two_files(head):
    """Return T1ce and FLAIR of the synthetic head as parts of a form."""
    names = {"t1ce": "t1c", "flair": "t2f"}
    return {
        field: (f"{field}.nii.gz", (head / f"BraTS-GLI-00000-000-{name}.nii.gz").read_bytes())
        for field, name in names.items()
    }
