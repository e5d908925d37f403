"""Results of a worker with a tiny model: files, a row, or the reason of a failure."""

import json

import pytest

from brats_mm import Segmenter
from brats_mm.cohort.content import hash_content
from brats_mm.cohort.records import CaseState, CaseTask, CohortCase, Layout
from brats_mm.cohort.segment import SegmentRunner
from brats_mm.cohort.tables import COLUMNS
from brats_mm.domain.modality import Modality
from brats_mm.inference.engine import WindowSettings
from brats_mm.pipeline.request import make_request


@pytest.fixture(scope="module")
def segmenter(tiny_bundle):
    return Segmenter.from_bundle(tiny_bundle, device="cpu", backend="torch", settings=WindowSettings((64, 64, 64)))


def runner(segmenter, layout):
    return SegmentRunner(segmenter, make_request(preview=False), layout)


def two_files(head):
    names = {Modality.T1CE: "t1c", Modality.FLAIR: "t2f"}
    return {modality: str(head / f"BraTS-GLI-00000-000-{name}.nii.gz") for modality, name in names.items()}


def test_runs_folder_files_failed_and_unchanged_cases(segmenter, made_head, tmp_path):
    folder = CohortCase("folder", folder=str(made_head))
    named = CohortCase("named", files=two_files(made_head))
    absent = CohortCase("absent", folder=str(tmp_path / "nowhere"))
    known = CaseTask(folder, str(tmp_path), known=hash_content(folder))
    tasks = [CaseTask(case, str(tmp_path)) for case in (folder, absent, named)] + [known]
    result = list(runner(segmenter, Layout.PLAIN).run(tasks))
    by_state = {state: [one.name for one in result if one.state is state] for state in CaseState}
    assert by_state == {CaseState.DONE: ["folder", "named"], CaseState.SAME: ["folder"], CaseState.FAILED: ["absent"]}
    rows = {one.name: one.row for one in result if one.state is CaseState.DONE}
    assert rows["named"]["sequences"] == "t1ce+flair"
    assert set(rows["folder"]) <= set(COLUMNS)
    report = json.loads((tmp_path / rows["named"]["results"] / "report.json").read_text())
    assert report["regions"]["wt"]["volume_ml"] == rows["named"]["volume_wt_ml"]
    (failed,) = [one for one in result if one.state is CaseState.FAILED]
    assert (failed.kind, failed.content) == ("CaseError", "")
    assert "nowhere does not exist" in failed.detail


def test_tasks_one_by_one_give_bids_results(segmenter, made_head, tmp_path):
    case = CohortCase("sub-01_ses-1", files=two_files(made_head))
    (result,) = runner(segmenter, Layout.BIDS).run([CaseTask(case, str(tmp_path)), None])
    assert result.state is CaseState.DONE
    names = {path.name for path in (tmp_path / "sub-01" / "ses-1" / "anat").iterdir()}
    assert "sub-01_ses-1_desc-tumour_dseg.nii.gz" in names
    assert "sub-01_ses-1_label-WT_desc-entropy_map.nii.gz" in names
    assert "sub-01_ses-1_desc-report_bratsmm.json" in names
    assert len(names) == 8
