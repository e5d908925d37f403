"""The benchmark of rare sequences calls commands that exist, averages their tables, and draws a line per method."""

import csv
import json
import re
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import rare_sequence

from brats_mm.cli.parser import make_parser
from brats_mm.io.bundle import default_bundle
from tests.fakes.training_sites import planned

RATES = {"slow_rate": 0.0001, "fast_rate": 0.01}
"""Two methods by name: the same small network with different learning rates."""


def table(path, rows):
    path.write_text("method,seed,subset,region,dice\n" + "\n".join(rows) + "\n")
    return path


def test_commands_parse(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(
        rare_sequence.subprocess, "run", lambda words, check: calls.append([str(word) for word in words])
    )
    options = Namespace(
        cases=Path("CASES"), output=tmp_path, keep="t1ce", seed=1, methods=["simmlm", "mmp"], minutes=60.0
    )
    assert rare_sequence.measured(options, 0.05) == tmp_path / "t1ce_0.05" / "sets.csv"
    parsed = [make_parser().parse_args(words[len(rare_sequence.BRATS_MM) :]) for words in calls]
    assert [one.command for one in parsed] == ["datalist", "experiment"]
    assert (parsed[0].keep, parsed[1].methods) == (["t1ce=0.05"], ["simmlm", "mmp"])


def test_means_are_over_subsets_and_seeds(tmp_path):
    first = table(tmp_path / "a.csv", ["a,1,t1,wt,0.2", "a,1,t2,wt,0.4", "a,2,t1,wt,0.6", "b,1,t1,wt,1.0"])
    second = table(tmp_path / "b.csv", ["a,1,t1,wt,0.5"])
    dice = rare_sequence.collect({0.05: first, 0.1: second})
    assert dice["wt"]["a"] == {0.05: pytest.approx(0.4), 0.1: 0.5}
    assert dice["wt"]["b"] == {0.05: 1.0}


def test_subsets_without_cases_are_skipped(tmp_path):
    scores = table(tmp_path / "a.csv", ["a,1,t1,wt,0.2", "a,1,t2,wt,"])
    assert rare_sequence.collect({0.05: scores}) == {"wt": {"a": {0.05: 0.2}}}


def test_plot_names_methods_and_regions(tmp_path):
    dice = {region: {"simmlm": {0.05: 0.2, 0.5: 0.4}, "mmp": {0.05: 0.1, 0.5: 0.3}} for region in ("wt", "et")}
    rare_sequence.plot(dice, "t1ce", tmp_path / "plot.svg")
    names = set(re.findall(r"<!-- (.+) -->", (tmp_path / "plot.svg").read_text()))
    assert names >= {"WT", "ET", "simmlm", "mmp", "training cases with T1ce, %", "mean Dice over 15 subsets, %"}


def test_points_are_at_percent_of_cases_and_dice(tmp_path):
    """Two points of one line, measured in the picture against the ticks of its axes."""
    rare_sequence.plot({"wt": {"simmlm": {0.05: 0.2, 0.5: 0.4}}}, "flair", tmp_path / "plot.svg")
    text = (tmp_path / "plot.svg").read_text()
    markers = re.findall(r'<use xlink:href="#\w+" x="([\d.]+)" y="([\d.]+)" style="fill: #1f77b4', text)
    (left, low), (right, high) = (tuple(map(float, point)) for point in markers[:2])
    ticks = re.findall(r'<use xlink:href="#\w+" x="([\d.]+)" y="([\d.]+)" style="stroke: #000000', text)
    labels = re.findall(r"<!-- ([\d.]+) -->", text)
    across = {float(label): float(x) for label, (x, y) in zip(labels, ticks, strict=True) if y == ticks[0][1]}
    along = {float(label): float(y) for label, (x, y) in zip(labels, ticks, strict=True) if x == ticks[-1][0]}
    assert position(left, across) == pytest.approx(5, abs=0.1)
    assert position(right, across) == pytest.approx(50, abs=0.1)
    assert position(low, along) == pytest.approx(20, abs=0.1)
    assert position(high, along) == pytest.approx(40, abs=0.1)


def position(pixels, ticks):
    """Return the value of an axis at a position, from two of its ticks."""
    (first, at_first), (last, at_last) = min(ticks.items()), max(ticks.items())
    return first + (pixels - at_first) / (at_last - at_first) * (last - first)


@pytest.mark.slow
def test_benchmark_runs_on_synthetic_heads(tmp_path):
    for number in range(5):
        planned(tmp_path / "heads", f"head{number}", "training", number)
    setting = {
        "spacing_mm": 4.0,
        "window": [48, 16, 16],
        "validation_window": [48, 32, 32],
        "batch_size": 1,
        "steps_per_epoch": 1,
        "augmentation": "paper",
        "network_def": {
            "_target_": "brats_mm.experiments.early_fusion.EarlyFusionNetwork",
            "unet": {"_target_": "brats_mm.networks.expert.UNetExpert", "in_channels": 4, "widths": [2, 2, 4]},
        },
    }
    fusion = default_bundle() / "configs" / "methods" / "early_fusion.json"
    methods = {name: {"config": str(fusion), **setting, "learning_rate": rate} for name, rate in RATES.items()}
    (tmp_path / "two.json").write_text(json.dumps({"methods": methods}))

    out = tmp_path / "rare"
    script = Path(rare_sequence.__file__)
    words = [tmp_path / "heads", "-o", out, "--keep", "t1ce", "--shares", "0.25", "0.5", "--minutes", "0.02", "--force"]
    command = [sys.executable, script, *words, "--methods", tmp_path / "two.json"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    for share, count in ((0.25, 1), (0.5, 2)):
        listed = json.loads((out / f"t1ce_{share:g}.json").read_text())
        assert sum("t1ce" in item["image"] for item in listed["training"]) == count
        assert all("t1ce" in item["image"] for item in listed["validation"])
    document = json.loads((out / "rare_sequence.json").read_text())
    assert set(document["dice"]) == {"wt", "tc", "et"}
    for region, by_method in document["dice"].items():
        assert set(by_method) == set(RATES)
        for method, by_share in by_method.items():
            for share, dice in by_share.items():
                with (out / f"t1ce_{share}" / "sets.csv").open() as file:
                    rows = [row for row in csv.DictReader(file) if (row["region"], row["method"]) == (region, method)]
                assert len(rows) == 15
                assert dice == pytest.approx(sum(float(row["dice"]) for row in rows) / 15)
    assert set(RATES) < set(re.findall(r"<!-- (.+) -->", (out / "rare_sequence.svg").read_text()))
