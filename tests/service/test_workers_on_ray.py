"""The service with workers on a local Ray cluster of two nodes, with killed nodes and processes."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from brats_mm.errors import OptionError
from brats_mm.execution.ray_cluster import ActorShare, connect
from brats_mm_service.app import create_app
from brats_mm_service.settings import RaySettings
from tests.fakes.ray_cluster import second_node, small_cluster
from tests.fakes.ray_work import FakeWork
from tests.fakes.serving import LONGEST_S, ended, serving, small_settings, two_files, until
from tests.fakes.stopwatch import stopwatch

ray = pytest.importorskip("ray")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def cluster():
    with small_cluster() as result, connect(result.address):
        yield result


def test_missing_cluster_error_names_command():
    with pytest.raises(OptionError, match=r"There is no Ray cluster at '127\.0\.0\.1:1'"), connect("127.0.0.1:1"):
        pass


def on_ray(tmp_path, workers, work, cancel_s=1.0):
    """Return an application whose workers are actors."""
    from brats_mm_service.workers.ray import RayWorker

    settings = replace(small_settings(tmp_path / "data"), ray=RaySettings("auto", workers, ActorShare(cores=1)))
    settings = replace(settings, worker=replace(settings.worker, cancel_s=cancel_s))
    return create_app(settings, lambda: RayWorker(settings, settings.ray.share, work))


def submit(client, head, count):
    return [client.post("/v1/jobs", files=two_files(head)).json()["id"] for _ in range(count)]


def workers_ready(client, count):
    return f"brats_mm_worker_up {count:.1f}" in client.get("/metrics").text


def test_each_job_is_done_once_after_node_kill(cluster, tmp_path, made_head):
    second = second_node(cluster)
    with serving(None, app=on_ray(tmp_path, 4, FakeWork(held=True))) as client:
        until(lambda: workers_ready(client, 4))
        jobs = submit(client, made_head, 12)
        until(lambda: client.get(f"/v1/jobs/{jobs[3]}").json()["state"] == "running")
        cluster.remove_node(second, allow_graceful=False)
        until(lambda: workers_ready(client, 2))
        (tmp_path / "data" / "go").touch()
        finished = [ended(client, job) for job in jobs]
        attempts = [client.service.queue.records.get(job).attempts for job in jobs]
    assert [job["state"] for job in finished] == ["done"] * 12
    assert [[one["name"] for one in job["results"]] for job in finished] == [["report.json"]] * 12
    ran = (tmp_path / "data" / "runs").read_text().split()
    assert sorted(ran) == sorted(jobs), "each ran to its end once"
    assert sorted(attempts) == [1] * 10 + [2] * 2, "those that the node held were begun again"


def test_job_of_killed_process_is_done_by_another(cluster, tmp_path, made_head):
    with serving(None, app=on_ray(tmp_path, 1, FakeWork(held=True))) as client:
        until(lambda: workers_ready(client, 1))
        (job,) = submit(client, made_head, 1)
        until(lambda: client.get(f"/v1/jobs/{job}").json()["state"] == "running")
        first = client.service.workers.pids[0]
        os.kill(first, signal.SIGKILL)
        until(lambda: client.service.workers.pids[0] not in (None, first))
        (tmp_path / "data" / "go").touch()
        assert ended(client, job)["state"] == "done"
        assert client.service.workers.pids[0] != first
        assert client.service.queue.records.get(job).attempts == 2


def test_job_that_kills_every_worker_fails_with_reason(cluster, tmp_path, made_head):
    with serving(None, app=on_ray(tmp_path, 1, FakeWork(dies=True))) as client:
        (job,) = submit(client, made_head, 1)
        finished = ended(client, job)
    assert finished["state"] == "failed"
    assert "was lost in all 3 attempts" in finished["error"]["detail"]


def test_running_job_is_cancelled_within_two_seconds_and_worker_survives(cluster, tmp_path, made_head):
    """A slow worker is not killed here, even on a busy machine."""
    with serving(None, app=on_ray(tmp_path, 1, FakeWork(held=True), cancel_s=LONGEST_S)) as client:
        until(lambda: workers_ready(client, 1))
        first = client.service.workers.pids[0]
        (job,) = submit(client, made_head, 1)
        until(lambda: client.get(f"/v1/jobs/{job}").json()["progress"]["stage"] == "segmenting")
        with stopwatch() as watch:
            assert client.delete(f"/v1/jobs/{job}").status_code in (200, 202, 204)
        assert watch.own_s < 2
        assert not (tmp_path / "data" / "jobs" / job).exists()
        assert client.service.workers.pids[0] == first
        until(lambda: workers_ready(client, 1))
        (again,) = submit(client, made_head, 1)
        (tmp_path / "data" / "go").touch()
        assert ended(client, again)["state"] == "done"
        assert client.service.workers.pids[0] == first


def test_worker_waits_for_free_resources_and_reports_it(cluster, tmp_path):
    from brats_mm_service.workers.ray import RayWorker

    settings = replace(small_settings(tmp_path / "data"), ray=RaySettings("auto", 1, ActorShare(cores=64)))
    app = create_app(settings, lambda: RayWorker(settings, settings.ray.share, FakeWork()))
    with serving(None, app=app) as client:
        until(lambda: "no free resources for a worker yet" in client.get("/readyz").json()["detail"])


def test_machine_without_data_folder_reports_requirement(cluster, tmp_path):
    from brats_mm_service.workers.ray import RayWorker

    worker = RayWorker(small_settings(tmp_path / "elsewhere"), ActorShare(cores=1), FakeWork())
    message = until(lambda: worker.receive(1.0))
    worker.kill()
    assert message["event"] == "unable"
    assert "Mount it under this path" in message["detail"]


def test_local_serving_does_not_import_ray():
    code = (
        "import sys; from brats_mm_service.app import create_app; from brats_mm_service.settings import Settings; "
        "import pathlib, tempfile; create_app(Settings(pathlib.Path(tempfile.mkdtemp()))); sys.exit('ray' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
