"""Fake inference worker that sends the same messages without a model. Started by path, with its behaviour as JSON.

`gate` names the folder of a `StepGate`, whose steps are the windows. With `results`, a folder to copy as the results,
reading and writing are steps too. `without` maps a sequence to the results of a job that lacks it.
"""

import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path


def main():
    how = {"steps": 2, "pause_s": 0.02, "crash_at": None, "deaf": False, "fail": None, "gate": None}
    how |= json.loads(sys.argv[1])
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
    if how.get("unable"):
        emit("unable", kind="model", detail="The bundle has no weights.")
        return
    emit("ready", device="cpu", model={"name": "fake", "version": "0", "weights_sha256": "0" * 64})
    while True:
        with there:
            while not jobs:
                there.wait()
            job = jobs.pop(0)
        run(job, how, cancelled)


def run(job, how, cancelled):
    name = job["job"]
    steps = how["steps"]
    stages = [("segmenting", done + 1, 0.2 + 0.6 * (done + 1) / steps, "") for done in range(steps)]
    if how.get("results"):
        registering = ("preprocessing", 0, 0.1, "registering T1 to T1ce")
        stages = [("reading", 0, 0.0, ""), registering, *stages, ("writing", 0, 0.85, "")]
    for step, (stage, done, fraction, text) in enumerate(stages):
        total = steps if stage == "segmenting" else 0
        emit("progress", job=name, stage=stage, done=done, total=total, fraction=fraction, step=text)
        end, sign = time.monotonic() + (how["pause_s"] if stage == "segmenting" else 0), time.monotonic() + 1
        while time.monotonic() < end or (how["gate"] and not Path(how["gate"], str(step)).exists()):
            if name in cancelled and not how["deaf"]:
                emit("failed", job=name, kind="cancelled", detail="The job was cancelled.")
                return
            time.sleep(0.01)
            if time.monotonic() > sign:
                emit("alive", resident=1000)
                sign = time.monotonic() + 1
        if how["crash_at"] == step:
            os.abort()
    if how["fail"]:
        emit("failed", job=name, kind=how["fail"], detail=how.get("detail") or "t1.nii.gz cannot be used.")
        return
    write_results(job, how)
    emit("done", job=name, seconds={"read": 0.1, "network": 0.2, "write": 0.1})


def write_results(job, how):
    folder = Path(job["output"])
    if how.get("results"):
        lacking = [place for sequence, place in how.get("without", {}).items() if sequence not in job["sequences"]]
        shutil.copytree((lacking or [how["results"]])[0], folder)
        return
    folder.mkdir()
    (folder / "segmentation.nii.gz").write_bytes(bytes(range(256)) * 40)
    (folder / "report.json").write_text(json.dumps({"sequences_found": sorted(job["sequences"])}))
    (folder / "preview.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    if how.get("page"):
        (folder / "report.html").write_text(how["page"], encoding="utf-8")


def emit(what, **values):
    print(json.dumps({"event": what, **values}), flush=True)


if __name__ == "__main__":
    main()
