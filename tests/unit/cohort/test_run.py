"""A cohort processes each case once, despite failures of cases, workers or the run."""

import csv
import json
import os
import shutil
import sqlite3
from collections import Counter
from contextlib import closing

import pyarrow.parquet as pq
import pytest

from brats_mm.cohort.manifest import open_manifest
from brats_mm.cohort.run import CohortSettings, compute_identity, run_cohort
from brats_mm.cohort.tables import TableFormat
from brats_mm.domain.availability import ALL_AVAILABLE
from brats_mm.domain.regions import REGIONS
from brats_mm.domain.subset_calibration import Correction, SubsetCalibration
from brats_mm.errors import BundleError, OutputError, ResourceError
from brats_mm.execution.local_engine import LocalEngine
from brats_mm.execution.tasks import Finished
from brats_mm.io.bundle import open_bundle, verify_hash
from brats_mm.pipeline.request import make_request
from brats_mm.trust.calibration_file import SUBSET_CALIBRATION, build_subset_calibration_document
from tests.fakes.cohort import FakeCases, FakeRunner

SETTINGS = CohortSettings("model-1")


class HereEngine:
    """Engine that computes in this process when results are collected. `lost` sets how often a case is lost."""

    retries = 1
    width = 4

    def __init__(self, lost=()):
        self.most = 0
        self.tasks = []
        self.submitted = []
        self.lost = Counter(lost)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, task):
        self.tasks.append(task)
        self.submitted.append(task)
        self.most = max(self.most, len(self.tasks))

    def collect(self, timeout_s):
        if not self.tasks or (timeout_s == 0 and len(self.tasks) < self.width):
            return []
        task = self.tasks.pop(0)
        if self.lost[task.case.name] > 0:
            self.lost[task.case.name] -= 1
            return [Finished(task, None, "signal SIGKILL")]
        return [Finished(task, FakeRunner().result(task))]


def manifest_of(folder, names):
    """Return a manifest with one folder and one small file per case."""
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "t1.nii.gz").write_bytes(name.encode())
    return open_manifest(folder)


def failures(output):
    with (output / "failures.csv").open() as stream:
        return list(csv.DictReader(stream))


def table(output):
    return pq.read_table(output / "results.parquet")["case"].to_pylist()


def test_every_case_is_done_once_and_in_table(tmp_path):
    names = [f"case-{number:02d}" for number in range(12)]
    engine, message = HereEngine(), []
    status = run_cohort(manifest_of(tmp_path / "in", names), tmp_path / "out", engine, SETTINGS, message.append)
    assert (status.done, status.failed, status.skipped, status.total) == (12, 0, 0, 12)
    assert (tmp_path / "out" / "runs").read_text().splitlines() == names
    assert engine.most <= engine.width
    assert table(tmp_path / "out") == names
    assert failures(tmp_path / "out") == []
    assert [one.ended for one in message] == list(range(1, 13))
    assert message[5].left_s > 0
    assert message[-1].left_s == 0


def test_failed_case_stops_no_other_and_its_message_is_kept(tmp_path):
    status = run_cohort(manifest_of(tmp_path / "in", ["a", "bad", "c"]), tmp_path / "out", HereEngine(), SETTINGS)
    assert (status.done, status.failed) == (2, 1)
    assert failures(tmp_path / "out") == [
        {"case": "bad", "kind": "VolumeError", "sentence": "t1.nii.gz is damaged. Copy it again.", "attempts": "1"}
    ]


def test_second_run_computes_only_failed_and_new_cases(tmp_path):
    run_cohort(manifest_of(tmp_path / "in", ["a", "bad"]), tmp_path / "out", HereEngine(), SETTINGS)
    again = HereEngine()
    status = run_cohort(manifest_of(tmp_path / "in", ["c"]), tmp_path / "out", again, SETTINGS)
    assert [task.case.name for task in again.submitted] == ["bad", "c"]
    assert (status.done, status.failed, status.skipped) == (1, 1, 1)
    assert table(tmp_path / "out") == ["a", "c"]


def test_touched_case_is_compared_by_content_and_removed_result_recomputed(tmp_path):
    manifest = manifest_of(tmp_path / "in", ["a", "b", "c"])
    run_cohort(manifest, tmp_path / "out", HereEngine(), SETTINGS)
    os.utime(tmp_path / "in" / "a" / "t1.nii.gz", (1, 1))
    (tmp_path / "out" / "cases" / "b" / "report.json").unlink()
    again = HereEngine()
    status = run_cohort(manifest, tmp_path / "out", again, SETTINGS)
    assert [(task.case.name, task.known) for task in again.submitted] == [("a", "content"), ("b", None)]
    assert (status.done, status.skipped) == (1, 2)
    last = HereEngine()
    assert run_cohort(manifest, tmp_path / "out", last, SETTINGS).skipped == 3
    assert last.submitted == []


@pytest.mark.parametrize("fault", ["deleted", "emptied", "cut", "folder"])
@pytest.mark.parametrize("name", ["report.json", "segmentation.nii.gz"])
def test_lost_and_truncated_results_are_recomputed_and_counted(fault, name, tmp_path):
    manifest = manifest_of(tmp_path / "in", ["a", "b", "c"])

    class Results(HereEngine):
        def submit(self, task):
            folder = tmp_path / "out" / "cases" / task.case.name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "segmentation.nii.gz").write_bytes(b"labels")
            super().submit(task)

    assert run_cohort(manifest, tmp_path / "out", Results(), SETTINGS).lost == 0
    file = tmp_path / "out" / "cases" / "b" / name
    if fault == "folder":
        shutil.rmtree(file.parent)
    elif fault == "deleted":
        file.unlink()
    else:
        os.truncate(file, 0 if fault == "emptied" else 3)
    again = Results()
    status = run_cohort(manifest, tmp_path / "out", again, SETTINGS)
    assert [task.case.name for task in again.submitted] == ["b"]
    assert (status.done, status.skipped, status.lost) == (1, 2, 1)
    last = run_cohort(manifest, tmp_path / "out", Results(), SETTINGS)
    assert (last.skipped, last.lost) == (3, 0)


def test_reads_records_without_sizes(tmp_path):
    manifest = manifest_of(tmp_path / "in", ["a"])
    run_cohort(manifest, tmp_path / "out", HereEngine(), SETTINGS)
    with closing(sqlite3.connect(tmp_path / "out" / "cohort.sqlite3")) as records:
        records.execute("DROP TABLE results")
    assert run_cohort(manifest, tmp_path / "out", HereEngine(), SETTINGS).skipped == 1


@pytest.mark.parametrize("name", ["=cmd()", "+1+1", "-2+3", "@SUM(A1)", "=HYPERLINK(1)"])
def test_case_names_are_no_formulas_in_tables(name, tmp_path):
    settings = CohortSettings("model-1", table=TableFormat.CSV)
    manifest = manifest_of(tmp_path / "in", [name, f"{name} bad"])
    run_cohort(manifest, tmp_path / "out", HereEngine(), settings)
    with (tmp_path / "out" / "results.csv").open() as stream:
        assert [row["case"] for row in csv.DictReader(stream)] == [f"'{name}"]
    assert [row["case"] for row in failures(tmp_path / "out")] == [f"'{name} bad"]


def test_other_model_or_options_recompute_everything(tmp_path):
    manifest = manifest_of(tmp_path / "in", ["a", "b"])
    run_cohort(manifest, tmp_path / "out", HereEngine(), SETTINGS)
    assert run_cohort(manifest, tmp_path / "out", HereEngine(), CohortSettings("model-2")).done == 2


def test_other_calibration_of_same_weights_recomputes_results(tmp_path):
    shutil.copytree(
        open_bundle(None).root, tmp_path / "mine", ignore=shutil.ignore_patterns("docs", "calibration.json")
    )
    bundle = open_bundle(tmp_path / "mine")

    def identity():
        return compute_identity(make_request(bundle=bundle.root))

    raw = identity()
    assert identity() == raw
    half = SubsetCalibration(1, {ALL_AVAILABLE: dict.fromkeys(REGIONS, Correction(foreground_temperature=2.0))})
    document = build_subset_calibration_document(half, verify_hash(bundle))
    (bundle.root / SUBSET_CALIBRATION).write_text(json.dumps(document), encoding="utf-8")
    assert identity() != raw


def test_lost_case_is_retried_alone_and_then_fails(tmp_path):
    engine = HereEngine(lost={"a": 1, "b": 2})
    status = run_cohort(manifest_of(tmp_path / "in", ["a", "b", "c"]), tmp_path / "out", engine, SETTINGS)
    assert (status.done, status.failed) == (2, 1)
    assert [task.case.name for task in engine.submitted if task.alone] == ["a", "b"]
    (failed,) = failures(tmp_path / "out")
    assert (failed["case"], failed["kind"], failed["attempts"]) == ("b", "worker-crash", "2")
    assert "stopped 2 times (signal SIGKILL)" in failed["sentence"]


def test_duplicate_names_and_unusable_lines_are_separate_failures(tmp_path):
    (tmp_path / "t1.nii.gz").write_bytes(b"x")
    cases = tmp_path / "out" / "cases.csv"  # allowed in the folder of the results
    cases.parent.mkdir()
    cases.write_text("case,t1\na,../t1.nii.gz\na,../t1.nii.gz\n../b,../t1.nii.gz\nc,\n")
    status = run_cohort(open_manifest(cases), tmp_path / "out", HereEngine(), SETTINGS)
    assert (status.done, status.failed, status.total) == (1, 3, 4)
    message = [one["sentence"].split("'")[0] for one in failures(tmp_path / "out")]
    assert message == ["The manifest contains several cases ", "The case name ", "The case "]


def test_rejects_folder_with_other_files_or_in_use(tmp_path):
    manifest = manifest_of(tmp_path / "in", ["a"])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    with pytest.raises(OutputError, match="contains files that do not belong to a cohort"):
        run_cohort(manifest, tmp_path / "full", HereEngine(), SETTINGS)

    def start_another(_):
        with pytest.raises(OutputError, match="Another brats-mm cohort is writing"):
            run_cohort(manifest, tmp_path / "out", HereEngine(), SETTINGS)

    assert run_cohort(manifest, tmp_path / "out", HereEngine(), SETTINGS, start_another).done == 1


def test_killed_local_workers_still_do_all_cases_once(tmp_path):
    names = ["a-once", *(f"case-{number:02d}" for number in range(20)), "deadly", "bad"]
    manifest = manifest_of(tmp_path / "in", names)
    engine = LocalEngine(FakeCases(pause_s=0.005), workers=2)
    status = run_cohort(manifest, tmp_path / "out", engine, SETTINGS)
    done = sorted(set(names) - {"deadly", "bad"})
    assert (status.done, status.failed) == (21, 2)
    assert sorted(set((tmp_path / "out" / "runs").read_text().splitlines())) == done
    assert [one["case"] for one in failures(tmp_path / "out")] == ["bad", "deadly"]
    assert table(tmp_path / "out") == done


def test_interrupted_run_keeps_finished_cases_and_resumes(tmp_path):
    manifest = manifest_of(tmp_path / "in", [f"case-{number:02d}" for number in range(12)])

    def stop(status):
        if status.done == 4:
            raise KeyboardInterrupt

    engine = LocalEngine(FakeCases(pause_s=0.01), workers=1)
    with pytest.raises(KeyboardInterrupt):
        run_cohort(manifest, tmp_path / "out", engine, SETTINGS, stop)
    assert engine.pids == ()
    assert len(table(tmp_path / "out")) == 4
    status = run_cohort(manifest, tmp_path / "out", LocalEngine(FakeCases()), SETTINGS)
    assert (status.done, status.skipped) == (8, 4)


def test_workers_without_model_end_run_with_message(tmp_path):
    manifest = manifest_of(tmp_path / "in", ["a"])
    with pytest.raises(BundleError, match="The bundle has no weights"):
        run_cohort(manifest, tmp_path / "one", LocalEngine(FakeCases(unable=True)), SETTINGS)
    with pytest.raises(ResourceError, match=r"crash while loading the model \(exit code 3\)"):
        run_cohort(manifest, tmp_path / "two", LocalEngine(FakeCases(dies=True)), SETTINGS)
