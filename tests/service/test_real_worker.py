"""A job over HTTP with the real worker and a tiny network writes every output of the command line."""

import json
import os
import signal
from dataclasses import replace

import nibabel as nib
import pytest

from brats_mm.domain.options import ModelOptions
from brats_mm_service.settings import WorkerSettings
from tests.fakes.serving import ended, serving, small_settings, two_files, until

pytestmark = pytest.mark.slow


def test_two_sequences_give_every_result_and_model_stays_loaded(tiny_bundle, made_head, tmp_path):
    worker = WorkerSettings(ModelOptions(bundle=tiny_bundle, device="cpu", window=64))
    with serving(replace(small_settings(tmp_path), worker=worker), behaviour="real") as client:
        until(lambda: client.get("/readyz").status_code == 200)
        options = {"options": json.dumps({"probabilities": True, "importance_maps": True})}
        sent = client.post("/v1/jobs", files=two_files(made_head), data=options).json()
        job = ended(client, sent["id"])
        assert job["state"] == "done", job["error"]
        names = {one["name"] for one in job["results"]}
        assert {
            "segmentation.nii.gz",
            "segmentation.seg.nrrd",
            "importance.json",
            "report.json",
            "preview.png",
            "scene.mrb",
        } < names
        assert "report.html" in names
        assert {"entropy.nii.gz", "entropy_wt.nii.gz", "probability_et.nii.gz", "importance_flair_wt.nii.gz"} < names
        assert set(job["seconds"]) == {"read", "prepare", "network", "restore", "write"}
        content = client.get(f"/v1/jobs/{job['id']}/results/segmentation.nii.gz").content
        (tmp_path / "got.nii.gz").write_bytes(content)
        assert nib.load(tmp_path / "got.nii.gz").shape == (64, 72, 56)
        report = client.get(f"/v1/jobs/{job['id']}/results/report.json").json()
        assert report["sequences_missing"] == ["t1", "t2"]
        first = client.service.workers.pids[0]
        same = two_files(made_head)
        same["flair"] = ("again.nii.gz", same["t1ce"][1])
        twin = ended(client, client.post("/v1/jobs", files=same).json()["id"])
        assert "The same image was given twice" in twin["error"]["detail"]
        assert "/" not in twin["error"]["detail"]
        assert client.service.workers.pids[0] == first
        os.kill(first, signal.SIGKILL)
        until(lambda: client.service.workers.pids[0] not in (None, first))
