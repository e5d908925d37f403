"""The benchmark of rare sequences calls commands that exist, averages their tables, and draws a line per method."""

import sys
from argparse import Namespace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import rare_sequence

from brats_mm.cli.parser import make_parser


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


def test_plot_names_methods_and_regions(tmp_path):
    dice = {region: {"simmlm": {0.05: 0.2, 0.5: 0.4}, "mmp": {0.05: 0.1, 0.5: 0.3}} for region in ("wt", "et")}
    rare_sequence.plot(dice, "t1ce", tmp_path / "plot.svg")
    assert "<svg" in (tmp_path / "plot.svg").read_text()
