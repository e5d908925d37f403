"""`brats-mm cohort` from the command line to tables, with a real worker."""

import csv
import json
import shutil

import pytest

from brats_mm.cli.commands.cohort import _format_duration
from brats_mm.cli.main import main


def test_cohort_runs_once_and_failed_case_sets_exit_code(made_head, tiny_bundle, tmp_path, capsys):
    for name in ("a", "b"):
        shutil.copytree(made_head, tmp_path / "in" / name)
    (tmp_path / "in" / "empty").mkdir()
    arguments = [
        "cohort",
        str(tmp_path / "in"),
        "-o",
        str(tmp_path / "out"),
        "--bundle",
        str(tiny_bundle),
        "--device",
        "cpu",
    ]
    arguments += ["--no-preview", "--table", "csv", "--window", "64", "--backend", "torch"]
    assert main([*arguments, "--json"]) == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"total": 3, "done": 2, "skipped": 0, "failed": 1, "lost": 0}
    assert "warning: empty failed: " in captured.err
    with (tmp_path / "out" / "results.csv").open() as stream:
        assert [row["case"] for row in csv.DictReader(stream)] == ["a", "b"]
    assert (tmp_path / "out" / "cases" / "a" / "segmentation.nii.gz").is_file()
    shutil.rmtree(tmp_path / "in" / "empty")
    assert main(arguments) == 0
    assert "0 cases segmented, 2 unchanged, 0 failed." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "0"], "--workers is 0. It must be at least 1."),
        (["--window", "65"], "The window side is 65"),
        (["--layout", "bids", "--keep-intermediate"], "--keep-intermediate writes folders that BIDS does not allow."),
        ([], "There is no manifest nowhere."),
    ],
)
def test_rejects_impossible_options_first(arguments, message, tmp_path, capsys):
    assert main(["cohort", "nowhere", "-o", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_remaining_time_is_readable():
    shown = [_format_duration(seconds) for seconds in (59, 200, 3900, 400_000)]
    assert shown == ["59 s", "3 min", "1 h 05 min", "4 d 15 h"]
