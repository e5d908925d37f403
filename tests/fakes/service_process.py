"""A service in a separate process with a fake worker, for tests that kill it: PORT DATA BEHAVIOUR."""

import json
import sys
from pathlib import Path

import uvicorn

from brats_mm_service.app import create_app
from brats_mm_service.connections import build_server_config
from brats_mm_service.workers.process import WorkerProcess
from tests.fakes.serving import FAKE, small_settings


def main():
    port, data, behaviour = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    json.loads(behaviour)
    settings = small_settings(data)

    def spawn():
        process = WorkerProcess(settings.worker, (sys.executable, str(FAKE), behaviour))
        pid = data / "worker.pid"
        pid.with_suffix(".new").write_text(str(process.pid))
        pid.with_suffix(".new").replace(pid)
        return process

    uvicorn.Server(build_server_config(create_app(settings, spawn), settings, port=port)).run()


if __name__ == "__main__":
    main()
