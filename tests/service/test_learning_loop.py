"""The whole loop with the unmodified MONAI Label client: correct, train, activate, segment with the new version."""

import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace

import httpx
import nibabel as nib
import numpy as np
import pytest

from brats_mm.data.phantom.head import make_phantom
from brats_mm.domain.options import ModelOptions
from brats_mm.learning.versions import ModelVersions
from brats_mm_service.settings import LearningSettings
from tests.fakes.monai_label_client import real_client
from tests.fakes.serving import serving, small_settings, until

pytestmark = [
    pytest.mark.slow,
    # The client leaves files and sockets open.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
PATIENT_S = 600
QUICK = {"minutes": 0.02, "side": 64, "batch": 1, "learning_rate": 0.05}


@pytest.fixture(scope="module")
def truths(tmp_path_factory):
    """Two synthetic heads in a datastore, with their true labels outside it."""
    root = tmp_path_factory.mktemp("site")
    for number in (1, 2):
        phantom = make_phantom(number, (64, 72, 56))
        folder = root / "datastore" / f"case-{number}"
        folder.mkdir(parents=True)
        for modality, volume in phantom.images.items():
            image = nib.Nifti1Image(np.rint(volume.data).astype(np.int16), volume.grid.affine)
            nib.save(image, folder / f"{modality.value}.nii.gz")
        labels = nib.Nifti1Image(phantom.labels, next(iter(phantom.images.values())).grid.affine)
        nib.save(labels, root / f"case-{number}.nii.gz")
    return root


def settings_of(truths, data, bundle):
    settings = small_settings(data, datastore=truths / "datastore", learning=LearningSettings(minutes=0.02))
    model = ModelOptions(bundle=bundle, device="cpu", window=64, overlap=0.0, backend="torch")
    return replace(settings, worker=replace(settings.worker, model=model))


def wait_ready(http):
    until(lambda: http.get("/readyz").status_code == 200, PATIENT_S, 0.5)


def submit_both(http, truths):
    for number in (1, 2):
        label = (truths / f"case-{number}.nii.gz").read_bytes()
        answer = http.put(f"/datastore/label?image=case-{number}", files={"label": ("label.nii.gz", label)})
        assert answer.status_code == 200, answer.text


def test_correction_trains_version_that_segments_after_activation(truths, tiny_bundle, tmp_path):
    module = real_client()
    with serving(settings_of(truths, tmp_path / "data", tiny_bundle), behaviour="real") as http:
        http.timeout = PATIENT_S
        wait_ready(http)
        (tmp_path / "client").mkdir()
        client = module.MONAILabelClient(str(http.base_url), tmpdir=str(tmp_path / "client"), client_id="dr-ann")
        info = client.info()
        assert list(info["trainers"]) == ["brats_mm"]
        assert list(info["scoring"]) == ["corrections"]
        assert client.train_status(check_if_running=True) is False
        with pytest.raises(module.MONAILabelClientException) as few:
            client.train_start("brats_mm", dict(QUICK))
        assert "needs at least two corrected cases" in few.value.msg

        versions, first = set(), {}
        for _ in range(2):
            case = client.next_sample("uncertain", {})["id"]
            _, params = client.infer("brats_mm", case, {"result_extension": ".nrrd"})
            versions.add(params["model"]["version"])
            first[case] = params["job"].rpartition("/")[2]
            client.save_label(case, str(truths / f"{case}.nii.gz"))
        assert set(first) == {"case-1", "case-2"}
        assert client.next_sample("uncertain", {}) == {}
        about = http.get("/datastore/label/info?label=case-1").json()
        assert about["prediction"]["job"] == first["case-1"]
        assert about["author"] == "dr-ann"
        assert 0 <= about["scores"]["wt"]["dice"] <= 1

        scored = http.post("/scoring/corrections").json()
        assert [row["image"] for row in scored["history"]] == list(first)
        assert scored["by_version"][0]["cases"] == 2

        new = train(client, http)
        _, params = client.infer("brats_mm", "case-1", {"result_extension": ".nrrd"})
        assert {params["model"]["version"]} == versions
        activate_and_go_back(client, http, new, first["case-1"])
        _, params = client.infer("brats_mm", "case-2", {"result_extension": ".nrrd"})
        assert {params["model"]["version"]} == versions


def train(client, http):
    """Train to the end and return the new, inactive version."""
    started = client.train_start("brats_mm", dict(QUICK))
    assert started["cases"] == {"training": 1, "replay": 0, "held_out": 1}
    again = http.post("/train/brats_mm", json={})
    assert (again.status_code, "already waiting or running" in again.json()["detail"]) == (429, True)
    until(lambda: client.train_status()["status"] in ("DONE", "ERROR"), PATIENT_S, 0.5)
    status = client.train_status()
    assert status["status"] == "DONE", status["error"]
    assert client.train_status(check_if_running=True) is False
    assert 0 <= status["held_out"]["version"]["dice"] <= 1
    job = http.get(f"/v1/jobs/{status['id']}").json()
    assert (job["kind"], [one["name"] for one in job["results"]]) == ("training", ["training.json"])
    listed = http.get("/v1/models/versions").json()
    assert listed["active"] == "base"
    assert [one["version"] for one in listed["versions"]] == ["base", status["version"]]
    return status["version"]


def activate_and_go_back(client, http, new, earlier_job):
    assert http.put("/v1/models/active", json={"version": new}).json()["active"] == new
    _, params = client.infer("brats_mm", "case-1", {"result_extension": ".nrrd"})
    assert params["model"]["version"] == new
    assert not params["job"].endswith(earlier_job)
    assert client.info()["train_stats"]["brats_mm"]["version"] == new
    assert http.post("/v1/models/rollback").json()["active"] == "base"
    assert http.post("/v1/models/rollback").status_code == 409
    assert http.put("/v1/models/active", json={"version": "nothing"}).status_code == 404


def test_stopped_training_leaves_no_version(truths, tiny_bundle, tmp_path):
    with serving(settings_of(truths, tmp_path, tiny_bundle), behaviour="real") as http:
        http.timeout = PATIENT_S
        submit_both(http, truths)
        started = http.post("/train/brats_mm", json={**QUICK, "minutes": 60}).json()
        until(lambda: http.get("/train/").json()["progress"]["stage"] == "training", PATIENT_S, 0.5)
        assert http.delete("/train/").json()["status"] == "STOPPED"
        assert http.get("/train/", params={"check_if_running": True}).status_code == 404
        assert http.get(f"/v1/jobs/{started['id']}").json()["state"] == "cancelled"
        assert http.get("/v1/models/versions").json()["versions"][1:] == []
        assert not list((tmp_path / "jobs").iterdir())


class Killable:
    """`brats-mm serve` in a separate process."""

    def __init__(self, data, truths, bundle):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        code = "from brats_mm.cli.main import entry; entry()"
        options = f"--data {data} --datastore {truths / 'datastore'} --port {port} --bundle {bundle}"
        self._command = [sys.executable, "-c", code, "serve", *options.split(), "--window", "64", "--backend", "torch"]
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENT_S, trust_env=False)
        self.start()

    def start(self):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._process = subprocess.Popen(self._command, env=environment, stderr=subprocess.DEVNULL)
        until(self._answers, PATIENT_S, 0.5)

    def _answers(self):
        assert self._process.poll() is None, "the service did not start"
        try:
            return self.http.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def kill(self):
        self._process.kill()
        self._process.wait()


def test_service_kill_during_training_loses_no_label(truths, tiny_bundle, tmp_path):
    module = real_client()
    service = Killable(tmp_path / "data", truths, tiny_bundle)
    try:
        http = service.http
        wait_ready(http)
        (tmp_path / "client").mkdir()
        client = module.MONAILabelClient(str(http.base_url), tmpdir=str(tmp_path / "client"), client_id="dr-ann")
        _, params = client.infer("brats_mm", "case-1", {"result_extension": ".nrrd"})
        before = params["model"]["version"]
        for case in ("case-1", "case-2"):
            client.save_label(case, str(truths / f"{case}.nii.gz"))
        started = client.train_start("brats_mm", {**QUICK, "minutes": 60})
        until(lambda: client.train_status()["progress"]["stage"] == "training", PATIENT_S, 0.5)
        service.kill()
        service.start()
        wait_ready(http)
        for case in ("case-1", "case-2"):
            sent = http.get(f"/datastore/label?label={case}").content
            assert sent == (truths / f"{case}.nii.gz").read_bytes()
        versions = http.get("/v1/models/versions").json()
        assert (versions["active"], len(versions["versions"])) == ("base", 1)
        status = client.train_status()
        assert (status["id"], status["status"] in ("SUBMITTED", "RUNNING")) == (started["id"], True)
        assert client.train_stop()["status"] == "STOPPED"
        _, params = client.infer("brats_mm", "case-2", {"result_extension": ".nrrd"})
        assert params["model"]["version"] == before
    finally:
        service.kill()
        service.http.close()


def test_training_kill_loses_no_label_and_keeps_old_model(truths, tiny_bundle, tmp_path):
    settings = settings_of(truths, tmp_path, tiny_bundle)
    with serving(settings, behaviour="real") as http:
        http.timeout = PATIENT_S
        submit_both(http, truths)
        started = http.post("/train/brats_mm", json={**QUICK, "minutes": 60}).json()
        until(lambda: http.get("/train/").json()["progress"]["stage"] == "training", PATIENT_S, 0.5)
        os.kill(http.service.trainer.pid, signal.SIGKILL)
        until(lambda: http.get("/train/").json()["status"] == "ERROR", PATIENT_S, 0.5)
        assert "stopped" in http.get("/train/").json()["error"]
        assert ModelVersions(tmp_path / "models").names() == []
        for number in (1, 2):
            sent = http.get(f"/datastore/label?label=case-{number}").content
            assert sent == (truths / f"case-{number}.nii.gz").read_bytes()
        assert http.get("/v1/models/versions").json()["active"] == "base"
        assert http.get(f"/v1/jobs/{started['id']}").json()["state"] == "failed"


def test_training_and_activation_need_models_write_scope(tmp_path, made_head):
    with serving(small_settings(tmp_path, require_tokens=True)) as http:
        plain = {"Authorization": f"Bearer {http.service.tokens.create('ann')[1]}"}
        head = {"Authorization": f"Bearer {http.service.tokens.create('boss', ('jobs:read', 'models:write'))[1]}"}
        for method, path in (
            ("POST", "/train/brats_mm"),
            ("DELETE", "/train/"),
            ("PUT", "/v1/models/active"),
            ("POST", "/v1/models/rollback"),
        ):
            assert http.request(method, path).status_code == 401
            refused = http.request(method, path, headers=plain, json={"version": "base"})
            assert (refused.status_code, "models:write" in refused.json()["detail"]) == (403, True)
        assert http.get("/info/", headers=plain).json()["trainers"] == {}
        assert list(http.get("/info/", headers=head).json()["trainers"]) == ["brats_mm"]
        assert http.put("/v1/models/active", headers=head, json={"version": "base"}).json()["active"] == "base"
