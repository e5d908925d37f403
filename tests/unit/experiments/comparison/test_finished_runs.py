"""Finished training runs and evaluations are not used again for other data."""

import json
from pathlib import Path

import pytest

from brats_mm.domain.case import CaseFiles
from brats_mm.errors import OptionError
from brats_mm.evaluation.tables import CASES, SUMMARY
from brats_mm.experiments.comparison.evaluation import EVALUATION, RESULT, RunEvaluator, evaluate_run
from brats_mm.experiments.comparison.training import DONE, MODELS, Training, ensure_trained
from brats_mm.io.bundle import compute_sha256
from brats_mm.io.labelled_cases import LabelledCase
from brats_mm.training.record import make_record_path


def test_finished_training_needs_the_list_it_was_trained_on(tmp_path: Path) -> None:
    datalist = tmp_path / "datalist.json"
    datalist.write_text(json.dumps({"training": ["one"]}))
    training = Training(tmp_path / "run", {"checkpoint": "model.pt", "datalist": str(datalist)}, "training")
    (training.folder / MODELS).mkdir(parents=True)
    record = {"settings": {"datalist_sha256": compute_sha256(datalist)}, "config": {}}
    make_record_path(training.checkpoint).write_text(json.dumps(record))
    (training.folder / DONE).write_text(json.dumps({"epochs": 1, "seconds": 1.0}))

    def train(_: Path) -> None:
        raise AssertionError("It is trained again.")

    assert ensure_trained(training, train) == {"epochs": 1, "seconds": 1.0}
    datalist.write_text(json.dumps({"training": ["one", "two"]}))
    with pytest.raises(OptionError, match=r"trained on another version of datalist\.json"):
        ensure_trained(training, train)


def test_finished_evaluation_needs_the_same_cases(tmp_path: Path) -> None:
    (tmp_path / EVALUATION).mkdir()
    (tmp_path / EVALUATION / CASES).write_text("case\n")
    (tmp_path / EVALUATION / SUMMARY).write_text(json.dumps({"failed": {"one": "unreadable"}}))
    (tmp_path / RESULT).write_text("{}")
    one, two = (LabelledCase(CaseFiles(name, {}), tmp_path / "seg.nii.gz") for name in ("one", "two"))
    assert evaluate_run(tmp_path, tmp_path / "model.pt", RunEvaluator((one,))) == {}
    with pytest.raises(OptionError, match="has 1 case, and 1 of them belong to the 2 of this experiment"):
        evaluate_run(tmp_path, tmp_path / "model.pt", RunEvaluator((one, two)))
