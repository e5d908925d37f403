"""Interrupted training commands state whether epochs are kept, by the checkpoints of the output folder."""

from pathlib import Path

import pytest

from brats_mm.cli.main import main
from brats_mm.cli.system import Terminated

KEPT = "error: Interrupted. Finished epochs are kept. Add --set resume=true to continue.\n"
KEPT_FOLDS = "error: Interrupted. Finished epochs and cases are kept. Run the same command to continue.\n"
NONE_KEPT = "error: Interrupted before the first epoch ended. Run the same command to start again.\n"


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Run a command whose training saves some states and is then interrupted. Return its exit code and message."""

    def run(command: str, *options: str, saved: tuple[str, ...] = (), interrupt: type = KeyboardInterrupt):
        def train(*_: object, **__: object) -> None:
            for name in saved:
                path = tmp_path / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"state")
            raise interrupt(*([15] if interrupt is Terminated else []))

        monkeypatch.setattr("brats_mm.training.two_stages.train", train)
        monkeypatch.setattr("brats_mm.experiments.cross_validation.cross_validate", train)
        code = main([command, str(tmp_path / "cases"), "-o", str(tmp_path / "out"), "-q", *options])
        return code, capsys.readouterr().err

    return run


def test_training_without_finished_epoch_keeps_nothing(interrupted):
    assert interrupted("train") == (130, NONE_KEPT)
    assert interrupted("train", interrupt=Terminated) == (143, NONE_KEPT)
    assert interrupted("train", saved=("out/model.json",)) == (130, NONE_KEPT)


def test_training_with_finished_epoch_keeps_it(interrupted):
    assert interrupted("train", saved=("out/expert_t1_last.pt",)) == (130, KEPT)


def test_state_of_earlier_training_counts_only_with_resume(interrupted, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model_last.pt").write_bytes(b"state of an earlier training")
    assert interrupted("train") == (130, NONE_KEPT)
    assert interrupted("train", "--set", "resume=true") == (130, KEPT)


def test_states_are_searched_in_output_dir_setting(interrupted, tmp_path):
    options = ("--set", f"output_dir={tmp_path / 'other'}")
    assert interrupted("train", *options, saved=("other/model_last.pt",)) == (130, KEPT)


def test_cross_validation_without_finished_epoch_keeps_nothing(interrupted):
    assert interrupted("cross-validate") == (130, NONE_KEPT)
    assert interrupted("cross-validate", saved=("out/fold0/models/expert_t1_last.pt",)) == (130, KEPT_FOLDS)
