"""Tables for a paper: statistics over cases, pooled folds, CSV and LaTeX."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brats_mm.cli.main import main
from brats_mm.errors import OptionError, OutputError
from brats_mm.evaluation.compare import compare
from brats_mm.evaluation.pool import pool
from brats_mm.evaluation.score_tables import render_score_table
from brats_mm.evaluation.statistics import Statistic, compute_statistics
from brats_mm.evaluation.tables import CaseRow, RowWriter, WeightRow

ROW = CaseRow("", "", 1, "wt", "raw", 0.5, 3.0, 0.5, 0.5, 0.5, 9.0, 1, 0, 0, 10, 10, 0.01, 0.01, 0.1, 0.9, 0.9)


def _rows(scores: dict[tuple[str, str], float]) -> list[CaseRow]:
    """Return the rows of the whole tumour by case and subset."""
    return [replace(ROW, case=case, subset=subset, dice=dice) for (case, subset), dice in scores.items()]


def _evaluation(folder: Path, scores: dict[tuple[str, str], float], *, policy: str = "brats", sha: str = "a") -> Path:
    folder.mkdir(parents=True)
    with RowWriter(folder / "cases.csv", CaseRow) as table:
        table.write(_rows(scores))
    with RowWriter(folder / "gate_weights.csv", WeightRow) as table:
        table.write([WeightRow(case, subset, "wt", "t1", 0.25) for case, subset in scores])
    model = {"name": "model", "version": "1", "weights_sha256": sha, "parameters": 3, "spacing_mm": 2.0}
    summary = {"model": model, "empty_policy": {"name": policy}, "failed": {}}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def _of(result: list[Statistic], sequences: str, score: str = "dice") -> Statistic:
    (one,) = (row for row in result if (row.sequences, row.region, row.score) == (sequences, "wt", score))
    return one


def test_subsets_are_averaged_per_case_first() -> None:
    """Case x has 0.2 and 0.4, case y only 0.9. The means 0.3 and 0.9 give 0.6 with a deviation of 0.3 sqrt(2)."""
    result = compute_statistics("a", _rows({("x", "t1"): 0.2, ("x", "t2"): 0.4, ("y", "t1"): 0.9}), ["dice"])
    one = _of(result, "all_sets")
    assert (one.cases, one.mean) == (2, pytest.approx(0.6))
    assert one.sd == pytest.approx(0.3 * 2**0.5)
    assert (one.low, one.high) == (pytest.approx(0.3), pytest.approx(0.9))
    assert _of(result, "t2").cases == 1
    assert np.isnan(_of(result, "t2").sd)
    assert _of(result, "without_t1ce").mean == pytest.approx(0.6)
    assert not [row for row in result if row.sequences in ("full_set", "with_t1ce", "flair")]


def test_cases_with_missing_scores_are_skipped() -> None:
    result = compute_statistics("a", _rows({("x", "t1"): 0.2, ("y", "t1"): float("nan")}), ["dice"])
    assert (_of(result, "t1").cases, _of(result, "t1").mean) == (1, pytest.approx(0.2))


def test_rejects_unknown_score() -> None:
    with pytest.raises(OptionError, match=r"Unknown scores: dise\. Choose from dice, hd95_mm"):
        compute_statistics("a", [], ["dise"])


def test_latex_table_has_row_per_subset_and_escapes_names() -> None:
    result = compute_statistics("ours_1 & more", _rows({("x", "t1"): 0.5, ("y", "t1"): 0.7}), ["dice", "hd95_mm"])
    table = render_score_table(result, "dice")
    assert r"\multicolumn{4}{l}{ours\_1 \& more, 2 cases} \\" in table
    assert r"T1 & -- & -- & 60.0 $\pm$ 14.1 [50.0, 70.0] \\" in table
    assert table.count(r"\begin{tabular}{lrrr}") == table.count(r"\end{tabular}") == 1
    assert r"T1 & -- & -- & 3.0 $\pm$ 0.0 [3.0, 3.0] \\" in render_score_table(result, "hd95_mm")


def test_pooled_folds_form_one_evaluation(tmp_path: Path) -> None:
    first = _evaluation(tmp_path / "fold0", {("x", "t1"): 0.2})
    second = _evaluation(tmp_path / "fold1", {("y", "t1"): 0.4, ("z", "t1"): 0.9}, sha="b")
    document = pool([first, second], tmp_path / "pooled")
    assert document["cases"] == 3
    assert document["sets"]["t1"]["raw"]["wt"]["dice"] == {
        "mean": pytest.approx(0.5),
        "std": pytest.approx(0.3606, abs=1e-3),
        "cases": 3,
    }
    assert document["model"]["name"] == "model, 2 folds"
    assert document["pooled_from"] == [f"{tmp_path.name}/fold0", f"{tmp_path.name}/fold1"]
    assert document["gate_weights"]["t1"]["t1"]["wt"] == 0.25
    assert compare(tmp_path / "pooled", tmp_path / "pooled")["cases"] == 3
    assert "cases: 3" in (tmp_path / "pooled" / "summary.md").read_text()
    with pytest.raises(OutputError, match="already holds an evaluation"):
        pool([first, second], tmp_path / "pooled")


def test_rejects_folds_that_share_a_case_or_differ_in_policy(tmp_path: Path) -> None:
    first = _evaluation(tmp_path / "fold0", {("x", "t1"): 0.2})
    with pytest.raises(OptionError, match="The case x is in"):
        pool([first, _evaluation(tmp_path / "fold1", {("x", "t1"): 0.4})], tmp_path / "pooled")
    with pytest.raises(OptionError, match=r"different policies for empty regions \(brats, skip\)"):
        pool([first, _evaluation(tmp_path / "fold2", {("y", "t1"): 0.4}, policy="skip")], tmp_path / "pooled")


def test_command_writes_csv_and_latex(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [
        _evaluation(tmp_path / name, {(f"{name}1", "t1"): 0.5, (f"{name}2", "t1"): 0.7}) for name in ("fold0", "fold1")
    ]
    arguments = ["tables", *map(str, folders), "-o", str(tmp_path / "out"), "--score", "dice"]
    assert main([*arguments, "--pool", str(tmp_path / "pooled"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["evaluation"] == "pooled"
    with (tmp_path / "out" / "statistics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    (row,) = (row for row in rows if row["sequences"] == "t1")
    assert (row["cases"], row["mean"], row["sd"]) == ("4", "0.6", "0.11547")
    assert "pooled, 4 cases" in (tmp_path / "out" / "dice.tex").read_text()
    assert main(arguments) == 2
    assert "already exists" in capsys.readouterr().err


def test_comparison_has_csv_and_latex_tables(tmp_path: Path) -> None:
    a = _evaluation(tmp_path / "a_1", {("x", "t1"): 0.5, ("y", "t1"): 0.6})
    b = _evaluation(tmp_path / "b", {("x", "t1"): 0.6, ("y", "t1"): 0.7})
    compare(a, b, tmp_path / "out")
    with (tmp_path / "out" / "comparison.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    (row,) = (row for row in rows if row["sequences"] == "t1")
    assert (row["region"], row["score"], row["cases"], row["difference"]) == ("wt", "dice", "2", "0.1")
    table = (tmp_path / "out" / "comparison.tex").read_text()
    assert r"T1 & WT & 55.0 & 65.0 & $+10.0$ & [$+10.0$, $+10.0$]" in table
    assert r"A: a\_1." in table
