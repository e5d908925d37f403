"""The shipped inference config segments case folders with any sequences, on their own grid."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

import brats_mm
from brats_mm.domain.availability import SUBSETS
from brats_mm.domain.prediction import ModelIdentity
from brats_mm.domain.regions import REGIONS
from brats_mm.domain.subset_calibration import Correction, SubsetCalibration
from brats_mm.inference.engine import WindowSettings
from brats_mm.inference.predictor import Predictor
from brats_mm.io.bundle import compute_sha256, open_bundle
from brats_mm.packaging.create import create_bundle
from brats_mm.pipeline.request import make_request
from brats_mm.pipeline.segment import load_case, segment
from brats_mm.pipeline.segmenter import Segmenter
from brats_mm.trust.calibration_file import build_subset_calibration_document

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).resolve().parents[2] / "bundles" / "brats_mm_segmentation" / "configs"


def _workflow(tiny: dict[str, Any], **override: Any) -> ConfigWorkflow:
    files = [str(CONFIGS / "inference.json"), tiny["inference"]]
    settings = {"device": "cpu", "spacing_mm": 2.0, "window": [64, 64, 64], "weights": tiny["weights"]}
    return ConfigWorkflow(files, workflow_type="infer", logging_file=False, **{**settings, **override})


@pytest.fixture
def two_cases(cases: Path, tmp_path: Path) -> Path:
    """A complete case, and the same case with T1ce alone, both without label map."""
    folder = tmp_path / "cases"
    for name in ("whole", "t1ce_only"):
        (folder / name).mkdir(parents=True)
    for path in (cases / "one").glob("*.nii.gz"):
        modality = path.name.split("-")[-1]
        if modality != "seg.nii.gz":
            shutil.copy(path, folder / "whole" / f"whole-{modality}")
    shutil.copy(cases / "one" / "one-t1ce.nii.gz", folder / "t1ce_only" / "t1ce_only-t1ce.nii.gz")
    return folder


def test_label_maps_are_on_input_grid_and_match_library(two_cases: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    workflow = _workflow(tiny, dataset_dir=str(two_cases), output_dir=str(tmp_path / "out"))
    workflow.initialize()
    assert workflow.check_properties() == []
    workflow.run()
    workflow.finalize()

    network = workflow.parser.get_parsed_content("network_def").eval()
    predictor = Predictor(
        network, ModelIdentity("toy", "0", "", 0, spacing_mm=2.0), torch.device("cpu"), WindowSettings((64, 64, 64))
    )
    for name in ("whole", "t1ce_only"):
        expected = predictor.predict(load_case(two_cases / name)).labels()
        saved = nib.load(tmp_path / "out" / name / "segmentation.nii.gz")
        source = nib.load(two_cases / name / f"{name}-t1ce.nii.gz")
        assert np.array_equal(saved.affine, source.affine)
        assert saved.get_data_dtype() == np.uint8
        assert np.array_equal(np.asarray(saved.dataobj), expected)
        assert expected.any(), "a toy network that says nothing proves nothing"


def test_command_line_segments_from_any_working_directory(
    two_cases: Path, tiny: dict[str, Any], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file"]
    command += [f"['{CONFIGS / 'inference.json'}','{tiny['inference']}']", "--dataset_dir", str(two_cases)]
    command += ["--weights", tiny["weights"], "--device", "cpu", "--window", "[64,64,64]"]

    environment = {**os.environ, "PYTHONPATH": str(Path(brats_mm.__file__).parents[1])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert sorted(path.name for path in (tmp_path / "eval").iterdir()) == ["t1ce_only", "whole"]
    assert {path.name for path in (tmp_path / "eval" / "t1ce_only").iterdir()} == {
        *("segmentation.nii.gz", "segmentation.seg.nrrd", "report.json", "importance.json", "entropy.nii.gz"),
        *(f"entropy_{region}.nii.gz" for region in ("wt", "tc", "et")),
        *(f"importance_t1ce_{region}.nii.gz" for region in ("wt", "tc", "et")),
    }


def test_list_may_name_files_and_outputs(cases: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    entry = {"name": "renamed", "image": {"flair": "one/one-flair.nii.gz"}}
    (tmp_path / "list.json").write_text(json.dumps({"testing": [entry]}))
    workflow = _workflow(
        tiny, dataset_dir=str(cases), datalist=str(tmp_path / "list.json"), output_dir=str(tmp_path / "out")
    )
    workflow.initialize()
    workflow.run()

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["renamed"]


def test_window_is_multiple_of_metadata_patch_size() -> None:
    window = json.loads((CONFIGS / "inference.json").read_text())["window"]
    assert all(side % 64 == 0 for side in window)


def test_results_match_library_with_calibration(two_cases: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    """Segmentation, entropy and importance equal those that `brats-mm segment` writes with the same bundle."""
    bundle = tmp_path / "packed"
    create_bundle([Path(tiny["weights"])], bundle, open_bundle(None), version="1", configs=[Path(tiny["train"])])
    digest = compute_sha256(bundle / "models" / "model.pt")
    table = SubsetCalibration(3, {subset: dict.fromkeys(REGIONS, Correction(0.05, 2.0, 3.0)) for subset in SUBSETS})
    (bundle / "models" / "calibration.json").write_text(json.dumps(build_subset_calibration_document(table, digest)))
    config = str(bundle / "configs" / "inference.json")
    settings = {"device": "cpu", "dataset_dir": str(two_cases), "output_dir": str(tmp_path / "out")}
    workflow = ConfigWorkflow(config, workflow_type="infer", logging_file=False, **settings)
    workflow.initialize()
    workflow.run()

    segmenter = Segmenter.from_bundle(
        bundle, device="cpu", backend="torch", settings=WindowSettings(keep_weight_maps=True)
    )
    assert segmenter.predictor.model.calibration is not None
    for name in ("whole", "t1ce_only"):
        mine_folder = tmp_path / "mine" / name
        segment(make_request(two_cases / name, mine_folder, importance_maps=True, preview=False), segmenter)
        for path in sorted((tmp_path / "mine" / name).glob("*.nii.gz")):
            theirs = np.asarray(nib.load(tmp_path / "out" / name / path.name).dataobj)
            assert np.array_equal(theirs, np.asarray(nib.load(path).dataobj)), path.name
        mine, theirs = (
            json.loads((tmp_path / side / name / "importance.json").read_text()) for side in ("mine", "out")
        )
        assert mine == theirs
