"""The benchmark of corrections: reproducible rounds of gradient steps, scores, and a plot."""

import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import corrections

TINY = Namespace(steps=2, first_steps=3, rounds=1, pool=2, each=1, test=1, draws=2)


@pytest.mark.slow
def test_two_runs_have_same_scores_per_round_and_draw(tmp_path, monkeypatch):
    monkeypatch.setattr(corrections, "SHAPE", (48, 48, 48))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        results = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            results.append(corrections.experiment(tmp_path / name, TINY))
    finally:
        torch.set_num_threads(threads)
    assert results[0] == results[1]
    dice = results[0]["dice"]
    assert {way: [len(curve) for curve in curves] for way, curves in dice.items()} == {
        "uncertain": [2],
        "random": [2, 2],
    }
    assert len({curve[0] for curves in dice.values() for curve in curves}) == 1, "all start from one model"
    assert all(0 <= value <= 1 for curves in dice.values() for curve in curves for value in curve)


def test_plot_has_line_per_method_and_draw(tmp_path):
    result = {
        "rounds": 2,
        "each": 2,
        "test": 3,
        "dice": {"uncertain": [[0.2, 0.4, 0.5]], "random": [[0.2, 0.3, 0.4]] * 2},
    }
    corrections.plot(result, tmp_path / "corrections.svg")
    text = (tmp_path / "corrections.svg").read_text()
    assert "<svg" in text
    assert text.count("clip-path") >= 4


def test_step_clock_counts_checks_not_time():
    clock = corrections.StepClock()
    assert clock.seconds() == 0
    for _ in range(3):
        clock.check()
    assert clock.seconds() == 3
