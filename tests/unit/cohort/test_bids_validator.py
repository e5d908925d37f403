"""BIDS derivatives of a cohort with all outputs pass the BIDS validator, if it is installed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from brats_mm import Segmenter
from brats_mm.cohort.bids import describe_dataset
from brats_mm.cohort.manifest import Manifest
from brats_mm.cohort.records import CohortCase, Layout
from brats_mm.cohort.run import CohortSettings, run_cohort
from brats_mm.cohort.segment import SegmentRunner
from brats_mm.domain.regions import LabelConvention
from brats_mm.execution.tasks import Finished
from brats_mm.inference.engine import WindowSettings
from brats_mm.pipeline.request import make_request

pytestmark = pytest.mark.slow

REQUEST = make_request(probabilities=True, masks=True, importance_maps=True, report=True, scene=True)
NAMES = ("sub-01", "sub-02_ses-1", "a case 7")


class Here:
    """Engine that computes in this process."""

    width, retries = 1, 0

    def __init__(self, runner):
        self.runner, self.results = runner, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, task):
        (result,) = self.runner.run([task])
        self.results.append(Finished(task, result))

    def collect(self, timeout_s):
        result, self.results = self.results, []
        return result


@pytest.fixture(scope="module")
def derivatives(tiny_bundle, made_head, tmp_path_factory):
    settings = WindowSettings((64, 64, 64), keep_weight_maps=True)
    segmenter = Segmenter.from_bundle(tiny_bundle, device="cpu", backend="torch", settings=settings)
    cases = [CohortCase(name, folder=str(made_head)) for name in (*NAMES, "bad")]
    cases[-1] = CohortCase("bad", folder=str(made_head / "nowhere"))
    folder = tmp_path_factory.mktemp("bids") / "derivatives"
    engine = Here(SegmentRunner(segmenter, REQUEST, Layout.BIDS))
    status = run_cohort(
        Manifest(made_head, len(cases), lambda: iter(cases)), folder, engine, CohortSettings("m", Layout.BIDS)
    )
    assert (status.done, status.failed) == (3, 1)
    return folder


def test_no_working_folder_remains(derivatives):
    assert not (derivatives / ".work").exists()


def test_validator_reports_no_error(derivatives):
    program = shutil.which("bids-validator-deno", path=str(Path(sys.executable).parent))
    program = program or shutil.which("bids-validator-deno")
    if program is None:
        pytest.skip("the BIDS validator is not installed: pip install bids-validator-deno")
    done = subprocess.run(
        [program, "--json", str(derivatives)], capture_output=True, text=True, check=False, timeout=600
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    result = {(one["severity"], one["code"], one.get("location", "")) for one in issues}
    assert result == {("warning", "TOO_FEW_AUTHORS", "/dataset_description.json")}, "only the user knows the authors"
    assert done.returncode == 0


def test_user_changes_of_description_are_kept(tmp_path):
    description = tmp_path / "dataset_description.json"
    describe_dataset(tmp_path, LabelConvention.BRATS2023, "1")
    description.write_text(json.dumps({**json.loads(description.read_text()), "Authors": ["A. Nother"]}))
    describe_dataset(tmp_path, LabelConvention.BRATS2023, "2")
    document = json.loads(description.read_text())
    assert (document["Authors"], document["GeneratedBy"][0]["Version"]) == (["A. Nother"], "2")
