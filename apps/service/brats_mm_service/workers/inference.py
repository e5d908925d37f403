"""Inference worker, which loads the model once and segments one job after another.

As a process, it reads commands from standard input and writes events to standard output, as JSON, one per line. It
opens no socket and executes no received code. When its input ends because the service has exited, it exits at once.
`ray` runs the same work on a cluster.

If the kernel supports Landlock, the process can access only libraries, the model and the folder of jobs. Each job runs
in a thread that can access only its own folder, so a malicious file cannot expose files of another caller.
"""

import json
import os
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from brats_mm.errors import BratsMMError, Cancelled, is_out_of_memory
from brats_mm_service.confinement import DEVICES, confine, list_library_paths, read_landlock_version
from brats_mm_service.workers.process_memory import read_resident_bytes

if TYPE_CHECKING:
    from brats_mm.domain.progress import SegmentProgress
    from brats_mm.pipeline.segmenter import Segmenter

ALIVE_S = 1.0

Computed = tuple[Mapping[str, float], object]
"""Seconds of each stage of a job, and an additional result, if any."""


class Outlet(Protocol):
    """Destination of events for the service."""

    def emit(self, event: str, **values: object) -> None:
        """Send one event, from any thread."""


class Channel:
    """Messages to the service as whole lines, from any thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def emit(self, event: str, **values: object) -> None:
        """Send one event. Ends the process if the service has exited."""
        with self._lock:
            try:
                self._stream.write(json.dumps({"event": event, **values}) + "\n")
                self._stream.flush()
            except OSError:
                os._exit(0)


class Commands:
    """Commands from the service. Jobs are queued, and a cancellation takes effect at once."""

    def __init__(self) -> None:
        self._jobs: list[dict[str, Any]] = []
        self._there = threading.Condition()
        self._cancelled: set[str] = set()
        self._current = ""
        self._paused_at: float | None = None
        self._paused_s = 0.0

    def listen(self, source: TextIO) -> None:
        """Read commands until the service exits. Runs in a thread."""
        for line in source:
            self.put(json.loads(line))
        os._exit(0)

    def put(self, command: dict[str, Any]) -> None:
        """Process a command."""
        with self._there:
            if command["command"] == "cancel":
                self._cancelled.add(command["job"])
            elif command["command"] == "pause":
                self._paused_at = self._paused_at or time.perf_counter()
            elif command["command"] == "resume":
                self._paused_s, self._paused_at = self.paused_s, None
            else:
                self._jobs.append(command)
            self._there.notify_all()

    def next(self) -> dict[str, Any]:
        """Wait for a job."""
        with self._there:
            while not self._jobs:
                self._there.wait()
            job = self._jobs.pop(0)
            self._cancelled &= {job["job"]}
            self._current = job["job"]
            return job

    @property
    def paused_s(self) -> float:
        """Return the seconds spent paused so far."""
        since = self._paused_at
        return self._paused_s + (0.0 if since is None else time.perf_counter() - since)

    def check(self, *_: object) -> None:
        """Wait while paused. Raise Cancelled if the current job must stop."""
        with self._there:
            while self._paused_at is not None and self._current not in self._cancelled:
                self._there.wait()
        if self._current in self._cancelled:
            raise Cancelled("The job was cancelled.")


def main() -> None:
    """Run until the service exits."""
    start, commands, channel, _ = begin()
    work(start, commands, channel)


def begin() -> tuple[dict[str, Any], Commands, Channel, list[Path]]:
    """Open the channel to the service, read the first message, confine the process and listen to commands.

    Returns:
        The first message, commands, channel, and the files of the model.
    """
    channel = Channel(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)  # separate the output of libraries from events
    source = os.fdopen(os.dup(0), encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # a file that refers to standard input for its data must not block
    start = json.loads(source.readline())
    _confine_process(start)  # before any thread starts, so that every thread is confined
    commands = Commands()
    threading.Thread(target=commands.listen, args=(source,), daemon=True).start()
    return start, commands, channel, _list_model_files(start)


def work(start: dict[str, Any], commands: Commands, channel: Outlet) -> None:
    """Load the model and execute commands forever. If the model cannot be loaded, report that and return."""
    set_up_process(start, channel)
    try:
        segmenter = _load(start)
    except BratsMMError as error:
        channel.emit("unable", kind=_find_error_kind(error), detail=str(error))
        return
    for module in segmenter.predictor.network.modules():
        module.register_forward_pre_hook(commands.check)  # check between layers, because a window can take ten seconds
    identity = segmenter.predictor.model
    channel.emit(
        "ready",
        device=str(segmenter.predictor.device),
        confined=read_landlock_version() > 0,
        model={"name": identity.name, "version": identity.version, "weights_sha256": identity.weights_sha256},
    )
    model_files = _list_model_files(start)
    while True:
        job = commands.next()
        perform(job, partial(_segment, job, segmenter, commands, channel), channel, model_files)


def perform(job: dict[str, Any], compute: Callable[[], Computed], channel: Outlet, model_files: list[Path]) -> None:
    """Compute a job in a thread that can access only its own files, and send the outcome."""
    thread = threading.Thread(target=_perform, args=(job, compute, channel, model_files), name="job")
    thread.start()
    thread.join()


def set_up_process(start: dict[str, Any], channel: Outlet) -> None:
    """Set the limits of the process, and begin to send heartbeats."""
    _set_limits(start)
    threading.Thread(target=_send_heartbeats, args=(channel,), daemon=True).start()


def _load(start: dict[str, Any]) -> "Segmenter":
    from brats_mm.pipeline.request import ModelOptions, deserialise_options
    from brats_mm.pipeline.segmenter import Segmenter

    return Segmenter.from_options(deserialise_options(ModelOptions, start))


def _perform(job: dict[str, Any], compute: Callable[[], Computed], channel: Outlet, model_files: list[Path]) -> None:
    name = job["job"]
    try:
        _confine_job(job, model_files)
        seconds, _volumes = compute()
    except BratsMMError as error:
        channel.emit("failed", job=name, kind=_find_error_kind(error), detail=_remove_paths(str(error), job))
    except Exception as error:  # noqa: BLE001 (outermost handler: the job fails, and the worker continues)
        if is_out_of_memory(error):
            channel.emit("failed", job=name, kind="memory", detail="The machine's memory is too small for this case.")
            return
        frames = traceback.format_tb(error.__traceback__)  # the message is omitted, because it could quote the input
        detail = "An internal error occurred, and nothing was written. Please report it with the job's ID."
        channel.emit("failed", job=name, kind="internal", detail=detail, error=type(error).__name__, trace=frames)
    else:
        # Send this before the volumes are freed, which takes a while.
        channel.emit("done", job=name, seconds=dict(seconds))


def _segment(job: dict[str, Any], segmenter: "Segmenter", commands: Commands, channel: Outlet) -> "Computed":
    from brats_mm.domain.modality import Modality
    from brats_mm.io.case import build_explicit_case
    from brats_mm.pipeline.request import BidsFilter, from_json
    from brats_mm.pipeline.segment import segment

    name, upload = job["job"], Path(job["upload"])

    def report_progress(progress: "SegmentProgress") -> None:
        """Send the progress, and stop a cancelled job."""
        commands.check()
        channel.emit(
            "progress",
            job=name,
            stage=progress.stage.value,
            done=progress.done,
            total=progress.total,
            fraction=progress.fraction,
            step=progress.step,
        )

    files = build_explicit_case({Modality(key): upload / file for key, file in job["sequences"].items()}, name="upload")
    # Series and images were chosen when the case was received.
    request = replace(
        from_json(job["request"]), input=files, output=Path(job["output"]), series={}, study=None, bids=BidsFilter()
    )
    result = segment(request, segmenter, on_progress=report_progress)
    commands.check()
    return result.report["run"]["seconds"], result


def _find_error_kind(error: BratsMMError) -> str:
    from brats_mm_service.problems import find_error_kind

    return find_error_kind(error)


def _remove_paths(sentence: str, job: dict[str, Any]) -> str:
    """Remove paths from a sentence. Callers may see file names, but no locations on the server."""
    for folder in (job["upload"], job["output"]):
        sentence = sentence.replace(f"{folder}/", "").replace(folder, "the service's folder")
    return sentence


def _send_heartbeats(channel: Outlet) -> None:
    while True:
        channel.emit("alive", resident=read_resident_bytes(os.getpid()))
        time.sleep(ALIVE_S)


def _confine_process(start: dict[str, Any]) -> None:
    """Confine the process to libraries, the model, its cache of compiled models, devices, and the folder of jobs."""
    if start.get("jobs") is None:
        return
    from brats_mm.inference.openvino_cache import locate_cache_folder

    cache = locate_cache_folder()
    home = cache / "home"  # packages store settings and caches there, and some fail otherwise
    with suppress(OSError):
        home.mkdir(parents=True, exist_ok=True)
    # With CI set, OpenVINO sends no telemetry, for which it would fork.
    os.environ.update(BRATS_MM_CACHE=str(cache), HOME=str(home), CI="true")
    confine(
        [*list_library_paths(), *_list_model_files(start), "/proc", "/sys"],
        [start["jobs"], cache, *_list_devices(), "/dev/shm"],
    )


def _confine_job(job: dict[str, Any], model_files: list[Path]) -> None:
    """Confine the calling thread to libraries, the model, devices, and the job's folder, also for temporary files."""
    folder = Path(job["output"]).parent
    scratch = folder / f"{Path(job['output']).name}-scratch"
    scratch.mkdir(mode=0o700, exist_ok=True)
    tempfile.tempdir = str(scratch)
    confine([*list_library_paths(), *model_files], [folder, *_list_devices()])


def _list_model_files(start: dict[str, Any]) -> list[Path]:
    """Return the bundle's folder and the targets of links in it, or nothing if there is no bundle, which is reported
    when it is loaded.
    """
    from brats_mm.io.bundle import default_bundle

    try:
        bundle = Path(start["bundle"]) if start["bundle"] is not None else default_bundle()
    except BratsMMError:
        return []
    return [bundle, *(path.resolve() for path in bundle.rglob("*") if path.is_symlink())]


@cache  # the confined process cannot list them later
def _list_devices() -> tuple[Path | str, ...]:
    graphics = [*Path("/dev").glob("nvidia*"), Path("/dev/dri"), Path("/dev/kfd")]
    return (*DEVICES, *graphics)


def _set_limits(start: dict[str, Any]) -> None:
    """Set limits of the operating system: memory on the CPU, no core dumps, low priority."""
    try:
        import resource
    except ImportError:  # Windows has no such limits. The service monitors the memory there too
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if start["device"] in ("cpu", "auto") and not Path("/dev/nvidiactl").exists():
        resource.setrlimit(resource.RLIMIT_DATA, (start["memory_bytes"], start["memory_bytes"]))
    os.nice(5)


if __name__ == "__main__":
    main()
