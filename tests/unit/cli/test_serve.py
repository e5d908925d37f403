"""The options of `brats-mm serve` as the service's settings."""

import pytest

from brats_mm.cli.commands import serve
from brats_mm.cli.parser import make_parser
from brats_mm.errors import OptionError
from brats_mm.execution import ray_cluster
from brats_mm.execution.ray_cluster import ActorShare


def settings_of(*arguments):
    return serve._build_settings(make_parser().parse_args(["serve", *arguments]))


def test_default_is_one_local_process():
    settings = settings_of()
    assert (settings.ray, settings.worker_count) == (None, 1)


def test_cluster_workers_and_their_resources():
    pytest.importorskip("ray")
    settings = settings_of("--ray", "head:6379", "--workers", "3", "--ray-cores", "4", "--ray-gpus", "0.5")
    assert (settings.ray.address, settings.worker_count) == ("head:6379", 3)
    assert settings.ray.share == ActorShare(cores=4, gpus=0.5)
    assert settings.ray.share.threads == 4


def test_several_workers_need_cluster():
    with pytest.raises(
        OptionError, match=r"One worker on this machine uses all cores\. Omit --workers, or set a cluster"
    ):
        settings_of("--workers", "2")
    with pytest.raises(OptionError, match=r"--workers is 0\. It must be at least 1"):
        settings_of("--workers", "0", "--ray", "auto")


def test_missing_ray_error_names_package(monkeypatch):
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r'Ray is not installed. Run: pip install "brats-mm\[ray\]", or omit --ray'):
        settings_of("--ray", "auto")


def test_speed_and_backend_reach_worker():
    message = settings_of("--fast", "--backend", "torch", "--window", "96").worker.start_message()
    assert (message["preset"], message["backend"], message["window"]) == ("fast", "torch", 96)


def test_watching_needs_archive():
    with pytest.raises(OptionError, match="--dicomweb-poll needs an archive"):
        settings_of("--dicomweb-poll", "5")
