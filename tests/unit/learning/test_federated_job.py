"""NVFlare's simulator trains two sites with the job that the library writes."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import brats_mm
from brats_mm.errors import BundleError, OptionError
from brats_mm.io.bundle import Bundle
from brats_mm.learning.federated_job import GLOBAL_WEIGHTS, write_nvflare_job


def _read(path):
    return json.loads(path.read_text())


def test_job_names_bundle_of_each_site(tiny_bundle, tmp_path):
    places = {"north": Path("/data/north"), "south": Path("/data/south")}
    job = write_nvflare_job(tmp_path / "job", places, Bundle(tiny_bundle), rounds=5, epochs=2)
    assert _read(job / "meta.json")["deploy_map"] == {"server": ["server"], "site_1": ["north"], "site_2": ["south"]}
    client = _read(job / "site_2" / "config" / "config_fed_client.json")["components"][0]["args"]
    assert (client["bundle_root"], client["local_epochs"]) == ("/data/south", 2)
    server = _read(job / "server" / "config" / "config_fed_server.json")
    assert (server["workflows"][0]["args"]["num_rounds"], server["workflows"][0]["args"]["min_clients"]) == (5, 2)
    assert server["components"][0]["args"]["bundle_root"] == str(tiny_bundle)


@pytest.mark.parametrize(
    ("places", "rounds", "message"),
    [
        ({"a": Path("/a")}, 2, "1 sites given"),
        ({"a": Path("/a"), "b": Path("b")}, 2, "The path of site b, b, is relative"),
        ({"a": Path("/a"), "b": Path("/b")}, 0, "rounds is 0"),
    ],
)
def test_wrong_sites_and_rounds_are_named(tiny_bundle, tmp_path, places, rounds, message):
    with pytest.raises(OptionError, match=message):
        write_nvflare_job(tmp_path / "job", places, Bundle(tiny_bundle), rounds)
    assert not (tmp_path / "job").exists()


def test_existing_folder_is_kept(tiny_bundle, tmp_path):
    with pytest.raises(BundleError, match="already exists"):
        write_nvflare_job(tmp_path, {"a": Path("/a"), "b": Path("/b")}, Bundle(tiny_bundle), 1)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("monai_nvflare") is None, reason="needs monai-nvflare (nox -s federated)")
def test_simulator_averages_two_sites_for_two_rounds(sites, tiny_bundle, tmp_path):
    job = write_nvflare_job(tmp_path / "job", {site.root.name: site.root for site in sites}, Bundle(tiny_bundle), 2)
    program = "import sys; from nvflare.cli import main; sys.exit(main())"
    command = [
        sys.executable,
        "-c",
        program,
        "simulator",
        str(job),
        "-w",
        str(tmp_path / "run"),
        "-c",
        "a,b",
        "-t",
        "2",
    ]
    library = str(Path(brats_mm.__file__).parents[1])
    paths = os.pathsep.join([library, os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    server = tmp_path / "run" / "server" / "simulate_job"
    start = torch.load(tiny_bundle / "models" / "model.pt", weights_only=True)
    averaged = torch.load(server / "app_server" / GLOBAL_WEIGHTS, weights_only=True)["model"]
    assert averaged.keys() == start.keys()
    assert any(bool((averaged[name] != start[name]).any()) for name in start)
    scores = _read(server / "cross_site_val" / "cross_val_results.json")
    for site in ("a", "b"):
        assert scores[site][f"SRV_{GLOBAL_WEIGHTS}"]["val_loss"] < scores[site]["SRV_model.pt"]["val_loss"]
        assert {"a", "b"} <= set(scores[site]), "each site evaluates the best weights of every site"
