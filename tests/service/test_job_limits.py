"""A job that takes too long or too much memory is stopped with a reason, and the next job runs on a new worker."""

import pytest

from brats_mm_service.settings import WorkerSettings
from tests.fakes.serving import ended, serving, small_settings, two_files, until
from tests.fakes.step_gate import StepGate


@pytest.mark.parametrize(
    ("limit", "title", "words"),
    [
        ({"job_s": 0.2}, "The job took too long", "stopped after 0.2 s"),
        ({"memory_bytes": 2**20}, "The machine's memory is too small", "needed more than 0.0 GiB of memory"),
    ],
)
def test_job_over_limit_fails_and_worker_is_replaced(tmp_path, made_head, limit, title, words):
    settings = small_settings(tmp_path / "data", worker=WorkerSettings(**limit))
    with serving(settings, behaviour=StepGate(tmp_path / "gate").behaviour) as client:
        until(lambda: client.service.workers.pids[0] is not None)
        first = client.service.workers.pids[0]
        job = ended(client, client.post("/v1/jobs", files=two_files(made_head)).json()["id"])
        assert (job["state"], job["error"]["status"], job["error"]["title"]) == ("failed", 500, title)
        assert words in job["error"]["detail"]
        until(lambda: client.service.workers.pids[0] not in (None, first))
