"""The service and its worker are killed at random moments: every accepted job ends, once, with one result.

BRATS_MM_KILLS sets the number of kills (default: 5).
"""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.fakes.serving import LONGEST_S, two_files, until

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("BRATS_MM_KILLS", "5"))
ROOT = Path(__file__).resolve().parents[2]
ENDS = ("done", "failed")


class Killed:
    """A service in a separate process that is killed and restarted."""

    def __init__(self, data):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        self.data = data
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            timeout=LONGEST_S,
            limits=httpx.Limits(max_keepalive_connections=0),  # a kept connection may close at the moment of use
            trust_env=False,
        )
        self.start()

    def start(self):
        behaviour = json.dumps({"steps": 4, "pause_s": 0.05})
        command = [sys.executable, "-m", "tests.fakes.service_process", str(self.port), str(self.data), behaviour]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "apps" / "service")])}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
        try:
            until(self.answers)
        except BaseException:
            self.kill_service()
            raise

    def answers(self):
        assert self.process.poll() is None, "the service did not start"
        try:
            return self.client.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def kill_service(self):
        self.process.kill()
        self.process.wait()

    def kill_worker(self):
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((self.data / "worker.pid").read_text()), signal.SIGKILL)


def test_no_accepted_job_is_lost_or_has_two_results(tmp_path, made_head):
    chance = random.Random(os.environ.get("BRATS_MM_KILL_SEED", "1"))
    service = Killed(tmp_path)
    accepted, seen, files = [], {}, two_files(made_head)
    try:
        for number in range(KILLS):
            accepted += [submit(service.client, files, f"{number}-{one}") for one in range(3)]
            time.sleep(chance.uniform(0.0, 0.8))
            look(service.client, accepted, seen, again=number % 10 == 0)
            if chance.random() < 0.3:
                service.kill_worker()
            else:
                with contextlib.suppress(httpx.TransportError):
                    # If a submission is interrupted, its key tells whether it was accepted.
                    if chance.random() < 0.5:
                        submit(service.client, files, f"cut-{number}")
                service.kill_service()
                service.start()
            look(service.client, accepted, seen)
        until(lambda: look(service.client, accepted, seen) == len(accepted))
        look(service.client, accepted, seen, again=True)
        states = [service.client.get(f"/v1/jobs/{job}").json() for job in accepted]
        again = [submit(service.client, files, f"{number}-{one}") for number in range(KILLS) for one in range(3)]
    finally:
        service.kill_service()
        service.client.close()
    assert again == accepted, "the same keys are the same jobs"
    assert len(set(accepted)) == len(accepted) == 3 * KILLS
    for job in states:
        assert job["state"] in ENDS
        assert job["state"] == "done" or job["error"]["detail"].endswith(".")
        assert job["state"] == "failed" or len(job["results"]) == 3
    assert sum(job["state"] == "done" for job in states) >= KILLS
    print(f"{KILLS} kills, {len(states)} jobs accepted, {sum(j['state'] == 'done' for j in states)} done, 0 lost")  # noqa: T201


def submit(client, files, key):
    answer = client.post("/v1/jobs", files=files, headers={"Idempotency-Key": key})
    assert answer.status_code in (200, 202), answer.text
    return answer.json()["id"]


def look(client, accepted, seen, *, again=False):
    """Return the number of ended jobs.

    Check that results are complete and, with `again`, that outcomes never change.
    """
    ended = 0
    for job_id in accepted:
        if job_id in seen and not again:
            ended += 1
            continue
        answer = client.get(f"/v1/jobs/{job_id}")
        assert answer.status_code == 200, "an accepted job is lost"
        job = answer.json()
        if job["state"] in ENDS:
            ended += 1
            result = (job["state"], tuple(sorted((one["name"], one["sha256"]) for one in job["results"])))
            assert seen.setdefault(job_id, result) == result, "a job ended in two ways"
        else:
            assert job["results"] == []
            assert client.get(f"/v1/jobs/{job_id}/results/report.json").status_code in (200, 409)
    return ended
