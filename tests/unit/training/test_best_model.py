"""The weights with the best validation score are saved, and training stops without improvement."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from brats_mm.training.best_model import BestModel, EarlyStop


def _validated(score: float, epoch: int, rank: int = 0) -> SimpleNamespace:
    state = SimpleNamespace(metrics={"dice": score}, key_metric_name="dice", epoch=epoch, rank=rank)
    return SimpleNamespace(state=state)


def _saved(path: Path) -> float:
    return float(torch.load(path, weights_only=True)["weight"])


def test_only_better_score_replaces_file(tmp_path: Path) -> None:
    network = nn.Linear(1, 1, bias=False)
    best = BestModel(network, tmp_path / "model.pt")
    kept = []
    for epoch, score in enumerate([0.5, 0.4, float("nan"), 0.6], start=1):
        nn.init.constant_(network.weight, epoch)
        best(_validated(score, epoch))
        kept.append(_saved(tmp_path / "model.pt"))

    assert kept == [1, 1, 1, 4]
    assert best.state_dict() == {"score": 0.6, "epoch": 4, "waited": 0}


def test_other_processes_count_but_do_not_write(tmp_path: Path) -> None:
    best = BestModel(nn.Linear(1, 1), tmp_path / "model.pt")

    best(_validated(0.5, 1, rank=1))

    assert best.epoch == 1
    assert not (tmp_path / "model.pt").exists()


def test_resumed_run_restores_best_score(tmp_path: Path) -> None:
    best = BestModel(nn.Linear(1, 1), tmp_path / "model.pt")
    best.load_state_dict({"score": 0.7, "epoch": 3, "waited": 1})

    best(_validated(0.6, 5))

    assert best.state_dict() == {"score": 0.7, "epoch": 3, "waited": 2}
    assert not (tmp_path / "model.pt").exists()


@pytest.mark.parametrize(("patience", "stops_at"), [(0, None), (1, 2), (2, 3), (9, None)])
def test_patience_counts_validations_without_improvement(tmp_path: Path, patience: int, stops_at: int | None) -> None:
    best = BestModel(nn.Linear(1, 1), tmp_path / "model.pt")
    stop = EarlyStop(best, patience=patience)
    stopped: list[int] = []
    for epoch, score in enumerate([0.5, 0.5, 0.4], start=1):
        best(_validated(score, epoch))
        stop(SimpleNamespace(terminate=lambda epoch=epoch: stopped.append(epoch)))

    assert stopped[:1] == ([stops_at] if stops_at else [])
