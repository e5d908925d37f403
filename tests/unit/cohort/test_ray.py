"""A cohort on a local Ray cluster of two nodes, one of which is killed."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pyarrow.parquet as pq
import pytest

from brats_mm.cohort.records import CaseState, CaseTask, CohortCase, TaskResult
from brats_mm.cohort.run import CohortSettings, run_cohort
from brats_mm.errors import OptionError
from brats_mm.execution.ray_engine import RayEngine, TaskActor
from tests.fakes.cohort import FakeCases
from tests.fakes.ray_cluster import second_node, small_cluster
from tests.unit.cohort.test_run import manifest_of

ray = pytest.importorskip("ray")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def cluster():
    with small_cluster() as actual:
        yield actual


def test_all_cases_are_done_once_after_node_kill(cluster, tmp_path):
    second = second_node(cluster)
    names = [f"case-{number:03d}" for number in range(60)]
    manifest = manifest_of(tmp_path / "in", names)

    def kill(status):
        if status.done == 20:
            cluster.remove_node(second, allow_graceful=False)

    engine = RayEngine(FakeCases(pause_s=0.05), cluster.address, workers=4, cores=1)
    status = run_cohort(manifest, tmp_path / "out", engine, CohortSettings("model-1"), kill)
    assert (status.done, status.failed) == (60, 0)
    assert pq.read_table(tmp_path / "out" / "results.parquet")["case"].to_pylist() == names
    ran = (tmp_path / "out" / "runs").read_text().splitlines()
    assert set(ran) == set(names)
    assert len(ran) <= 60 + 4, "but for those that the node had under way, each ran once"
    print(f"60 cases, a node of two killed after 20: {status.done} done, {len(ran) - 60} computed again")  # noqa: T201


def test_case_that_kills_its_worker_fails_alone(cluster, tmp_path):
    manifest = manifest_of(tmp_path / "in", ["a", "deadly", "b", "c"])
    engine = RayEngine(FakeCases(), cluster.address, workers=1, cores=1)
    status = run_cohort(manifest, tmp_path / "out", engine, CohortSettings("model-1"))
    assert (status.done, status.failed) == (3, 1)
    assert "stopped 4 times" in (tmp_path / "out" / "failures.csv").read_text()


def test_missing_cluster_error_names_command(tmp_path):
    manifest = manifest_of(tmp_path / "in", ["a"])
    with pytest.raises(OptionError, match=r"There is no Ray cluster at '127\.0\.0\.1:1'"):
        run_cohort(manifest, tmp_path / "out", RayEngine(FakeCases(), "127.0.0.1:1"), CohortSettings("model-1"))


class Together:
    """Records the tasks that it receives before it has finished the first."""

    def run(self, tasks):
        given = list(itertools.islice((task for task in tasks if task is not None), 3))
        for task in given:
            yield TaskResult(task.case.name, CaseState.DONE, "+".join(one.case.name for one in given))


def test_actor_passes_next_cases_before_first_is_done():
    actor = TaskActor(lambda slot: Together(), 0, 1)
    assert actor.fault() is None
    tasks = [CaseTask(CohortCase(name, folder="."), ".") for name in "abc"]
    with ThreadPoolExecutor(3) as callers:
        result = list(callers.map(actor.run, tasks))
    assert [one.name for one in result] == ["a", "b", "c"]
    assert {"".join(sorted(one.content)) for one in result} == {"++abc"}


def test_actor_without_model_reports_reason():
    fault = TaskActor(FakeCases(unable=True), 0, 1).fault()
    assert "The bundle has no weights" in str(fault)
