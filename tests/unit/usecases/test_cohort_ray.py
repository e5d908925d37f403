"""A cohort on a Ray cluster of two nodes on this machine, one of which is killed in the middle."""

import pyarrow.parquet as pq
import pytest

from brats_mm.errors import OptionError
from brats_mm.usecases.cohort import CohortSettings, run_cohort
from brats_mm.usecases.cohort_ray import RayEngine
from tests.cohort_fake import FakeCases
from tests.unit.usecases.test_cohort import manifest_of

ray = pytest.importorskip("ray")

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def cluster(monkeypatch):
    from ray.cluster_utils import Cluster

    for name in ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    small = {"num_cpus": 2, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=small)
    made.small = {key: value for key, value in small.items() if key != "include_dashboard"}
    yield made
    ray.shutdown()
    made.shutdown()


def test_all_cases_are_done_once_though_a_node_is_killed(cluster, tmp_path):
    second = cluster.add_node(**cluster.small)
    cluster.wait_for_nodes()
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


def test_without_a_cluster_it_is_said_what_to_start(tmp_path):
    manifest = manifest_of(tmp_path / "in", ["a"])
    with pytest.raises(OptionError, match=r"There is no Ray cluster at '127\.0\.0\.1:1'"):
        run_cohort(manifest, tmp_path / "out", RayEngine(FakeCases(), "127.0.0.1:1"), CohortSettings("model-1"))
