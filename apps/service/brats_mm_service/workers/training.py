"""Training worker, a process that fine-tunes the model on corrected labels for one job.

It uses the protocol and the confinement of the inference worker. It runs the `train.json` of a bundle that it writes
for the site (`learning.fine_tune`). `pause` and `resume` stop its computation while inference jobs run on the same
cores. Paused time does not count as training time.
"""

import time
from functools import partial
from pathlib import Path
from typing import Any

from brats_mm_service.confinement import read_landlock_version
from brats_mm_service.workers.inference import Commands, Computed, Outlet, begin, perform, set_up_process


def main() -> None:
    """Run until the service exits."""
    start, commands, channel, model_files = begin()
    set_up_process(start, channel)
    channel.emit("ready", device=start["device"], confined=read_landlock_version() > 0, model={})
    while True:
        job = commands.next()
        perform(job, partial(_fine_tune, job, start, commands, channel), channel, model_files)


def _fine_tune(job: dict[str, Any], start: dict[str, Any], commands: Commands, channel: Outlet) -> Computed:
    """Fine-tune according to the plan in the job's folder, and return the seconds of each stage."""
    from brats_mm.learning.fine_tune import fine_tune
    from brats_mm.learning.plan import read_plan
    from brats_mm.learning.watched_trainer import Watch
    from brats_mm.pipeline.request import ModelOptions, deserialise_options

    upload, started_at = Path(job["upload"]), time.monotonic()
    last = 0.0

    def report_progress(stage: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if stage == "training" and now - last < 0.5:
            return
        last = now
        channel.emit("progress", job=job["job"], stage=stage, done=done, total=total)

    watch = Watch(commands.check, report_progress, lambda: time.perf_counter() - commands.paused_s)
    options = deserialise_options(ModelOptions, start)
    report = fine_tune(read_plan(upload), upload, options, Path(job["output"]), watch)
    total_s = time.monotonic() - started_at
    return {"train": round(report["minutes"] * 60, 3), "training": round(total_s, 3)}, None


if __name__ == "__main__":
    main()
