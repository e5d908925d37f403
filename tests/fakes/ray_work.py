"""Fake work of a Ray actor in place of segmentation. Importable by the machines of a cluster."""

import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FakeWork:
    """Each job can be cancelled, and leaves a line in `runs` of the data folder when it ends.

    With `held`, jobs end only once the data folder has a file `go`. With `dies`, the process ends in the middle of each
    job.
    """

    held: bool = False
    dies: bool = False

    def __call__(self, start, commands, channel):
        threading.Thread(target=alive, args=(channel,), daemon=True).start()
        channel.emit("ready", device="cpu", model={"name": "fake", "version": "0", "weights_sha256": "0" * 64})
        while True:
            self.do(commands.next(), Path(start["data"]), commands, channel)

    def do(self, job, data, commands, channel):
        name = job["job"]
        channel.emit("progress", job=name, stage="segmenting", done=1, total=2, fraction=0.5, step="")
        while self.held and not (data / "go").exists():
            time.sleep(0.02)
            if name in commands._cancelled:
                channel.emit("failed", job=name, kind="cancelled", detail="The job was cancelled.")
                return
        if self.dies:
            os._exit(3)
        folder = Path(job["output"])
        folder.mkdir()
        (folder / "report.json").write_text(json.dumps({"sequences_found": sorted(job["sequences"])}))
        with (data / "runs").open("a") as stream:
            stream.write(f"{name}\n")
        channel.emit("done", job=name, seconds={"read": 0.1})


def alive(channel):
    while True:
        channel.emit("alive", resident=1000)
        time.sleep(0.2)
