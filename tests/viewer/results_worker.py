"""A stand-in for the inference worker whose results are ready: it copies a folder; its behaviour comes as JSON."""

import json
import os
import shutil
import sys
import threading
import time


def main():
    how = {"steps": 2, "pause_s": 0.05, "fail": None} | json.loads(sys.argv[1])
    json.loads(sys.stdin.readline())
    jobs, cancelled, there = [], set(), threading.Condition()

    def listen():
        for line in sys.stdin:
            command = json.loads(line)
            with there:
                if command["do"] == "cancel":
                    cancelled.add(command["job"])
                else:
                    jobs.append(command)
                there.notify()
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    say("ready", device="cpu", model={"name": "ready", "version": "0", "weights_sha256": "0" * 64})
    while True:
        with there:
            while not jobs:
                there.wait()
            job = jobs.pop(0)
        run(job, how, cancelled)


def run(job, how, cancelled):
    name = job["job"]
    for step in range(how["steps"]):
        say("progress", job=name, stage="segmenting", done=step + 1, total=how["steps"])
        end = time.monotonic() + how["pause_s"]
        while time.monotonic() < end:
            time.sleep(0.01)
            if name in cancelled:
                say("failed", job=name, kind="cancelled", detail="The job was cancelled.")
                return
    if how["fail"]:
        say(
            "failed",
            job=name,
            kind=how["fail"],
            detail="flair.nii.gz holds labels, not an image. Give the image itself.",
        )
        return
    shutil.copytree(how["results"], job["output"])
    say("done", job=name, seconds={"read": 0.1, "network": 0.2, "write": 0.1})


def say(what, **values):
    sys.stdout.write(json.dumps({"say": what, **values}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
