"""Benchmarks refuse to run on a busy machine, and record its properties."""

import argparse
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import machine

FOLDER = Path(machine.__file__).parent


def parser():
    result = argparse.ArgumentParser()
    result.add_argument("--rounds", type=int, default=3)
    return result


def test_rejects_busy_machine_unless_forced(monkeypatch, capsys):
    monkeypatch.setattr(machine, "load_average", lambda: 0.51)
    with pytest.raises(SystemExit):
        machine.parse(parser(), [])
    assert "The load average is 0.51, and a benchmark needs 0.5 or less." in capsys.readouterr().err
    options = machine.parse(parser(), ["--force", "--rounds", "5"])
    assert (options.rounds, options.machine["load_average"]) == (5, 0.51)


@pytest.mark.parametrize("load", [0.5, None])
def test_accepts_idle_machine_and_machine_without_load_average(monkeypatch, load):
    monkeypatch.setattr(machine, "load_average", lambda: load)
    assert machine.parse(parser(), []).machine["load_average"] == load


def test_description_has_processor_versions_and_date():
    described = machine.describe()
    assert described["processor"]
    assert described["torch"]
    assert len(described["date"]) == len("2026-11-30 07:00")


@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_every_script_uses_shared_option_parser(script):
    text = script.read_text(encoding="utf-8")
    has_options = "ArgumentParser(" in text or "case_parser(__doc__)" in text
    measures_no_time = ("machine", "case_list", "corrections", "tumour_boxes")
    if has_options and script.stem not in measures_no_time:
        assert "machine.parse(" in text
