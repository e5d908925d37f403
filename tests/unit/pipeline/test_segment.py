"""Segment a case from files with a tiny network."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch

from brats_mm import Segmenter
from brats_mm.domain.progress import Stage
from brats_mm.domain.regions import LabelConvention
from brats_mm.errors import BundleError, OptionError, OutputError
from brats_mm.inference.engine import WindowSettings
from brats_mm.pipeline.request import make_request
from brats_mm.pipeline.segment import segment
from brats_mm.pipeline.segmenter import choose_device

ALWAYS = {
    "segmentation.nii.gz",
    "segmentation.seg.nrrd",
    "entropy.nii.gz",
    "entropy_wt.nii.gz",
    "entropy_tc.nii.gz",
    "entropy_et.nii.gz",
    "importance.json",
    "report.json",
    "preview.png",
}


@pytest.fixture(scope="module")
def segmenter(tiny_bundle):
    settings = WindowSettings(window=(64, 64, 64), keep_weight_maps=True)
    return Segmenter.from_bundle(tiny_bundle, device="cpu", settings=settings)


def two(folder):
    return {
        "t1ce": str(folder / "BraTS-GLI-00000-000-t1c.nii.gz"),
        "flair": str(folder / "BraTS-GLI-00000-000-t2f.nii.gz"),
    }


def test_predict_from_paths_writes_nothing(segmenter, head_folder):
    before = sorted(head_folder.iterdir())
    prediction = segmenter.predict(two(head_folder))
    assert {modality.value for modality in prediction.case.available} == {"t1ce", "flair"}
    assert prediction.labels().shape == (64, 72, 56)
    assert sorted(head_folder.iterdir()) == before


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"tta": True}, "does not accept tta, because the model is already loaded"),
        ({"window": 64}, "does not accept window, because the model is already loaded"),
        ({"output": "out"}, r"writes no files, so it does not accept output. Use Prediction\.save"),
        ({"labels": "brats2021"}, "writes no files, so it does not accept labels"),
        ({"keep_intermediate": True}, "writes no files, so it does not accept keep_intermediate"),
    ],
)
def test_rejects_options_that_predict_ignores(segmenter, head_folder, option, message):
    with pytest.raises(OptionError, match=message):
        segmenter.predict(two(head_folder), **option)


def test_every_output_is_written_on_input_grid(segmenter, head_folder, tmp_path):
    request = make_request(two(head_folder), tmp_path / "out", probabilities=True, importance_maps=True)
    result = segment(request, segmenter)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {path.name for path in result.files}
    assert names > ALWAYS
    assert {f"probability_{region}.nii.gz" for region in ("wt", "tc", "et")} < names
    assert {f"importance_{m}_{r}.nii.gz" for m in ("t1ce", "flair") for r in ("wt", "tc", "et")} < names
    given = nib.load(two(head_folder)["t1ce"])
    for path in (tmp_path / "out").glob("*.nii.gz"):
        image = nib.load(path)
        assert image.shape == given.shape
        np.testing.assert_array_equal(image.affine, given.affine)
        assert int(image.header["sform_code"]) == int(image.header["qform_code"]) == 1


@pytest.mark.parametrize(("labels", "enhancing"), [("brats2023", 3), ("brats2021", 4)])
def test_masks_match_regions_of_label_map(segmenter, head_folder, tmp_path, labels, enhancing):
    segment(make_request(two(head_folder), tmp_path / "out", masks=True, labels=labels, preview=False), segmenter)
    stored = np.asanyarray(nib.load(tmp_path / "out" / "segmentation.nii.gz").dataobj)
    parts = {"wt": (1, 2, enhancing), "tc": (1, enhancing), "et": (enhancing,)}
    for region, values in parts.items():
        mask = nib.load(tmp_path / "out" / f"mask_{region}.nii.gz")
        assert mask.get_data_dtype() == np.uint8
        np.testing.assert_array_equal(np.asanyarray(mask.dataobj), np.isin(stored, values))
    assert stored.any()


def test_entropy_and_probability_files_match_prediction(segmenter, head_folder, tmp_path):
    result = segment(make_request(two(head_folder), tmp_path / "out", probabilities=True), segmenter)
    stored = nib.load(tmp_path / "out" / "entropy.nii.gz")
    np.testing.assert_allclose(stored.get_fdata(), result.prediction.combined_entropy(), atol=2e-5)
    assert b"nats" in stored.header["descrip"].item()
    assert b"ln 4" in stored.header["descrip"].item()


def test_report_has_sequences_and_uncertainty(segmenter, head_folder, tmp_path):
    segment(make_request(two(head_folder), tmp_path / "out"), segmenter)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["sequences_found"] == ["t1ce", "flair"]
    assert report["sequences_missing"] == ["t1", "t2"]
    assert "not for diagnosis" in report["disclaimer"]
    assert len(report["model"]["weights_sha256"]) == 64
    assert set(report["run"]["seconds"]) == {"read", "prepare", "network", "restore", "write"}
    labels = np.asarray(nib.load(tmp_path / "out" / "segmentation.nii.gz").dataobj)
    assert report["regions"]["wt"]["volume_ml"] == pytest.approx((labels > 0).sum() * 0.001, abs=1e-3)
    assert "head" not in json.dumps(report)


def test_importance_sums_to_one_over_available_sequences(segmenter, head_folder, tmp_path):
    segment(make_request(two(head_folder), tmp_path / "out"), segmenter)
    importance = json.loads((tmp_path / "out" / "importance.json").read_text())["weights"]
    assert importance["t1"] == importance["t2"] == {"wt": 0, "tc": 0, "et": 0}
    assert importance["t1ce"]["et"] + importance["flair"]["et"] == pytest.approx(1, abs=1e-5)


def test_labels_can_use_older_convention(segmenter, head_folder, tmp_path):
    result = segment(make_request(two(head_folder), tmp_path / "out", labels="brats2021"), segmenter)
    stored = np.asarray(nib.load(tmp_path / "out" / "segmentation.nii.gz").dataobj)
    newer = result.prediction.labels(LabelConvention.BRATS2023)
    assert np.array_equal(stored, np.where(newer == 3, 4, newer))


def test_results_replace_files_only_with_overwrite(segmenter, head_folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "segmentation.nii.gz").write_text("precious")
    with pytest.raises(OutputError, match=r"already holds segmentation\.nii\.gz.*--overwrite"):
        segment(make_request(two(head_folder), out), segmenter)
    assert (out / "segmentation.nii.gz").read_text() == "precious"
    segment(make_request(two(head_folder), out, overwrite=True, preview=False), segmenter)
    assert nib.load(out / "segmentation.nii.gz").shape == (64, 72, 56)


def test_stopped_run_leaves_no_files(segmenter, head_folder, tmp_path):
    def stop(progress):
        if progress.total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment(make_request(two(head_folder), tmp_path / "out"), segmenter, on_progress=stop)
    assert not (tmp_path / "out").exists()


def test_progress_grows_over_all_stages_and_ends_at_one(segmenter, head_folder, tmp_path):
    reported = []
    segment(make_request(two(head_folder), tmp_path / "out"), segmenter, on_progress=reported.append)
    fractions = [progress.fraction for progress in reported]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert list(dict.fromkeys(progress.stage for progress in reported)) == list(Stage)
    passes = [one for one in reported if one.total]
    assert str(passes[-1]) == f"segmenting, part {passes[-1].total} of {passes[-1].total}"


def test_progress_of_raw_scans_names_each_planned_step(segmenter, head_folder, tmp_path):
    """Two sequences: one registration, resampling and the brain, from 0.1 to 0.6 of the whole."""
    reported = []
    request = make_request(two(head_folder), tmp_path / "out", raw=True, preview=False)
    segment(request, segmenter, on_progress=reported.append)
    steps = [(round(one.fraction, 3), one.step.split()[0]) for one in reported if one.step]
    assert steps == [(0.1, "registering"), (0.267, "resampling"), (0.433, steps[-1][1])]
    assert min(one.fraction for one in reported if one.stage is Stage.SEGMENTING) == pytest.approx(0.6)


def test_error_names_unknown_sequence(segmenter, tmp_path):
    with pytest.raises(OptionError, match=r"Unknown sequence 'dwi'\. Choose one of t1, t1ce, t2, flair"):
        segmenter.predict({"dwi": tmp_path / "a.nii.gz"})


def test_rejects_weights_with_other_hash(tiny_bundle, tmp_path):
    import shutil

    broken = tmp_path / "bundle_segmentation"
    shutil.copytree(tiny_bundle, broken)
    with (broken / "models" / "model.pt").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(BundleError, match="do not match the recorded hash"):
        Segmenter.from_bundle(broken)


@pytest.mark.parametrize(
    ("corrupt", "sentence"),
    [
        (lambda root: (root / "models" / "model.pt").unlink(), "has no weights"),
        (lambda root: (root / "configs" / "metadata.json").unlink(), "is not a model bundle"),
        (lambda root: (root / "configs" / "metadata.json").write_text("{"), "cannot be read"),
        (lambda root: (root / "configs" / "inference.json").unlink(), "Restore the bundle"),
        (lambda root: (root / "configs" / "inference.json").write_text("{}"), "does not describe a network"),
    ],
)
def test_incomplete_bundle_error_names_missing_files(tiny_bundle, tmp_path, corrupt, sentence):
    import shutil

    broken = tmp_path / "bundle_segmentation"
    shutil.copytree(tiny_bundle, broken)
    corrupt(broken)
    with pytest.raises(BundleError, match=sentence):
        Segmenter.from_bundle(broken)


def test_rejects_missing_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(OptionError, match="sees no GPU"):
        choose_device("cuda")
    with pytest.raises(OptionError, match="must be auto, cpu, cuda"):
        choose_device("tpu")


def test_leave_one_out_changes_neither_result_nor_gate_weights(segmenter, head_folder, tmp_path):
    segment(make_request(two(head_folder), tmp_path / "plain", preview=False), segmenter)
    segment(make_request(two(head_folder), tmp_path / "out", preview=False, leave_one_out=True), segmenter)
    plain, document = (json.loads((tmp_path / name / "importance.json").read_text()) for name in ("plain", "out"))
    changes = document.pop("leave_one_out")["changes"]
    assert document == plain
    assert set(changes) == {"t1ce", "flair"}
    assert set(changes["t1ce"]["et"]) == {"volume_change_ml", "dice", "mean_probability_change"}
    images = [nib.load(tmp_path / name / "segmentation.nii.gz").get_fdata() for name in ("plain", "out")]
    assert (images[0] == images[1]).all()


def test_input_check_warnings_are_in_report(head_folder, tmp_path, segmenter, monkeypatch):
    """Every host uses `preprocess`, so the warning reaches report, terminal, page and HTTP."""
    from brats_mm.trust.input_checks import check

    monkeypatch.setattr(check, "find_input_warnings", lambda volumes: (f"{len(volumes)} images are turned.",))
    done = segment(make_request(two(head_folder), tmp_path / "out", preview=False), segmenter)
    assert "2 images are turned." in done.prediction.case.warnings
    assert "2 images are turned." in json.loads((tmp_path / "out/report.json").read_text())["warnings"]
