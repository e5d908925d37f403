"""Measure the service under load: response times of status routes, memory, and overhead over the engine.

Starts a service on this machine with the installed model and prints a table. `--json FILE` writes the figures. The case
is a synthetic head unless `--case FOLDER` names a real one. There are four parts:

1. The engine alone, in a separate, warmed-up process that writes the same results.
2. The idle service: the same case is submitted, followed by its events, and fetched by a client on the same machine.
   The overhead is the time from the first byte sent to the last received, minus the engine's time as reported by the
   stages of the same job. A machine's speed drifts by more than this difference. Part 1 shows that the engine is no
   slower in the service.
3. The same with many clients that request states, lists, health and metrics.
4. Memory of the service's process before and after.
"""

import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import machine

ROOT = Path(__file__).resolve().parents[1]
PATHS = [str(ROOT), str(ROOT / "apps" / "service")]

ENGINE = """
import sys, time, tempfile, json
from pathlib import Path
from brats_mm.pipeline.request import make_request
from brats_mm.pipeline.segment import segment
from brats_mm.pipeline.segmenter import Segmenter
bundle, case = sys.argv[1] or None, Path(sys.argv[2])
segmenter = Segmenter.from_bundle(bundle, device="cpu")
for _ in sys.stdin:
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        segment(make_request(case, Path(out) / "out", scene=True, report=True), segmenter)
        print(json.dumps(time.perf_counter() - start), flush=True)
"""


def main() -> None:
    """Run the benchmark."""
    options = _options()
    with tempfile.TemporaryDirectory() as temporary:
        case = options.case or _made_head(Path(temporary) / "head")
        with _Engine(options.bundle, case) as engine:
            figures = asyncio.run(_service(options, case, Path(temporary) / "data", engine))
    for name, value in figures.items():
        print(f"{name:24}{value:12.3f}" if isinstance(value, float) else f"{name:24}{value:>12}")
    if options.json is not None:
        options.json.write_text(json.dumps({"machine": options.machine, **figures}, indent=2) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50, help="number of clients that send requests during the jobs")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between two requests of a client")
    parser.add_argument("--jobs", type=int, default=3, help="number of jobs in each part")
    parser.add_argument("--case", type=Path, help="case folder (default: a synthetic head)")
    parser.add_argument("--bundle", type=Path, help="model bundle (default: the installed one)")
    parser.add_argument("--json", type=Path, help="JSON file for the figures")
    return machine.parse(parser)


def _made_head(folder: Path) -> Path:
    sys.path[:0] = PATHS
    import nibabel as nib
    import numpy as np

    from brats_mm.data.phantom.head import make_phantom

    folder.mkdir(parents=True)
    for modality, volume in make_phantom(3, (160, 192, 144)).images.items():
        image = nib.Nifti1Image(np.rint(volume.data).astype(np.int16), volume.grid.affine)
        nib.save(image, folder / f"head_{modality.value}.nii.gz")
    return folder


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(PATHS)}


class _Engine:
    """The engine in a separate process, one case at a time."""

    def __init__(self, bundle: Path | None, case: Path) -> None:
        command = ["nice", "-n", "5", sys.executable, "-c", ENGINE, str(bundle or ""), str(case)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, env=_environment(), stdin=pipe, stdout=pipe, text=True, bufsize=1)

    def __enter__(self) -> "_Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)

    def run(self) -> float:
        """Return the seconds of one case."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        return float(self._process.stdout.readline())


async def _service(options: argparse.Namespace, case: Path, data: Path, engine: _Engine) -> dict[str, float]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    code = "from brats_mm.cli.main import entry; entry()"
    command = [sys.executable, "-c", code, "serve", "-q", "--data", str(data), "--port", str(port), "--device", "cpu"]
    command += ["--bundle", str(options.bundle)] if options.bundle else []
    process = subprocess.Popen(command, env=_environment(), stderr=subprocess.DEVNULL)
    try:
        limits = httpx.Limits(max_connections=options.clients + 5)
        base = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=base, timeout=600, limits=limits, trust_env=False) as client:
            return await _measure(client, options, case, process.pid, engine)
    finally:
        process.terminate()
        process.wait(timeout=30)


async def _measure(
    client: httpx.AsyncClient, options: argparse.Namespace, case: Path, pid: int, engine: _Engine
) -> dict[str, float]:
    await _until_ready(client)
    await _job(client, case)
    before = _resident_mib(pid)
    engine.run()
    pairs = [(engine.run(), await _job(client, case)) for _ in range(options.jobs)]
    times: list[float] = []
    asking = [asyncio.create_task(_ask(client, times, options.pause, seed)) for seed in range(options.clients)]
    await asyncio.sleep(1)
    times.clear()
    middle, loaded, memory = 0, [], []
    for number in range(options.jobs):
        loaded.append((await _job(client, case))[0])
        memory.append(_resident_mib(pid))
        middle = len(times) if number == 0 else middle
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    ordered = sorted(times)
    return {
        "engine_s": statistics.median(direct for direct, _ in pairs),
        "alone_s": statistics.median(served for _, (served, _) in pairs),
        "stages_s": statistics.median(stages for _, (_, stages) in pairs),
        "added_s": statistics.median(served - stages for _, (served, stages) in pairs),
        "added_percent": 100 * statistics.median(served / stages - 1 for _, (served, stages) in pairs),
        "under_load_s": statistics.median(loaded),
        "questions": float(len(times)),
        "status_p50_ms": 1000 * ordered[len(ordered) // 2],
        "status_p95_ms": 1000 * ordered[int(len(ordered) * 0.95)],
        "status_p99_ms": 1000 * ordered[int(len(ordered) * 0.99)],
        "memory_before_mib": before,
        "memory_first_job_mib": memory[0],
        "memory_last_job_mib": memory[-1],
    }


async def _until_ready(client: httpx.AsyncClient) -> None:
    for _ in range(600):
        try:
            if (await client.get("/readyz")).status_code == 200:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.5)
    raise SystemExit("The service did not become ready.")


async def _job(client: httpx.AsyncClient, case: Path) -> tuple[float, float]:
    """Return the seconds from submission to the fetched segmentation, and the engine's share of them."""
    fields = {path.name.split("_")[-1].split(".")[0]: path for path in sorted(case.glob("*.nii.gz"))}
    known = {"t1n": "t1", "t1c": "t1ce", "t2w": "t2", "t2f": "flair"}
    files = {
        known.get(name, name): (path.name, path.read_bytes())
        for name, path in fields.items()
        if known.get(name, name) in known.values()
    }
    start = time.perf_counter()
    job = (await client.post("/v1/jobs", files=files)).raise_for_status().json()
    async with client.stream("GET", job["links"]["events"]) as events:
        async for line in events.aiter_lines():
            if line.startswith("data: "):
                job = json.loads(line.removeprefix("data: "))
    if job["state"] != "done":
        raise SystemExit(f"the job is {job['state']}: {job['error']}")
    (await client.get(f"/v1/jobs/{job['id']}/results/segmentation.nii.gz")).raise_for_status()
    took = time.perf_counter() - start
    await client.delete(f"/v1/jobs/{job['id']}")
    return took, sum(job["seconds"].values())


async def _ask(client: httpx.AsyncClient, times: list[float], pause_s: float, seed: int) -> None:
    chance = random.Random(seed)
    while True:
        await asyncio.sleep(pause_s * chance.uniform(0.5, 1.5))
        jobs = (await client.get("/v1/jobs", params={"limit": 5})).json()["jobs"]
        path = jobs[0]["links"]["self"] if jobs else "/healthz"
        for at in (path, chance.choice(["/healthz", "/readyz", "/metrics", "/v1/jobs"])):
            start = time.perf_counter()
            await client.get(at)
            times.append(time.perf_counter() - start)


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
