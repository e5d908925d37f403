"""A stand-in for the inference worker whose results are ready: it copies a folder; its behaviour comes as JSON.

`without` maps a sequence to the results of a job that lacks it. `gate` names the folder of a `StepGate`. Its steps are
reading, each window and writing.
"""

import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path


def main():
    how = {"steps": 2, "pause_s": 0.05, "fail": None, "gate": None, "without": {}} | json.loads(sys.argv[1])
    json.loads(sys.stdin.readline())
    jobs, cancelled, there = [], set(), threading.Condition()

    def listen():
        for line in sys.stdin:
            command = json.loads(line)
            with there:
                if command["command"] == "cancel":
                    cancelled.add(command["job"])
                else:
                    jobs.append(command)
                there.notify()
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    emit("ready", device="cpu", model={"name": "ready", "version": "0", "weights_sha256": "0" * 64})
    while True:
        with there:
            while not jobs:
                there.wait()
            job = jobs.pop(0)
        run(job, how, cancelled)


def run(job, how, cancelled):
    name = job["job"]
    windows = [("segmenting", done + 1) for done in range(how["steps"])]
    for step, (stage, done) in enumerate([("reading", 0), *windows, ("writing", how["steps"])]):
        emit("progress", job=name, stage=stage, done=done, total=0 if stage == "reading" else how["steps"])
        end, sign = time.monotonic() + (how["pause_s"] if stage == "segmenting" else 0), time.monotonic() + 1
        while time.monotonic() < end or (how["gate"] and not Path(how["gate"], str(step)).exists()):
            time.sleep(0.01)
            if time.monotonic() > sign:
                emit("alive", resident=1000)
                sign = time.monotonic() + 1
            if name in cancelled:
                emit("failed", job=name, kind="cancelled", detail="The job was cancelled.")
                return
    if how["fail"]:
        emit(
            "failed",
            job=name,
            kind=how["fail"],
            detail="flair.nii.gz holds labels, not an image. Give the image itself.",
        )
        return
    lacking = next((folder for sequence, folder in how["without"].items() if sequence not in job["sequences"]), None)
    shutil.copytree(lacking or how["results"], job["output"])
    emit("done", job=name, seconds={"read": 0.1, "network": 0.2, "write": 0.1})


def emit(event, **values):
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
