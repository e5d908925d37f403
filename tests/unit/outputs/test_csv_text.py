"""CSV cells never start a formula in a spreadsheet."""

import csv

import pytest

from brats_mm.evaluation.tables import CaseRow, RowWriter, list_columns, read_rows
from brats_mm.experiments.comparison.tables import SetRow, write_table
from brats_mm.outputs.csv_text import escape_formula, unescape_formula

FORMULAS = ["=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "'=1", "＝1+1", "＠x"]


@pytest.mark.parametrize("text", FORMULAS)
def test_formula_text_is_escaped_and_unescaped(text):
    assert escape_formula(text) == f"'{text}"
    assert unescape_formula(escape_formula(text)) == text


@pytest.mark.parametrize("value", ["case-1", "t1+t1ce", "", "a=1", "'quoted'", "patient's", -1.5, 3, None, True])
def test_other_values_are_unchanged(value):
    assert escape_formula(value) is value
    if isinstance(value, str):
        assert unescape_formula(value) == value


def test_evaluation_tables_escape_names_and_read_them_back(tmp_path):
    names = {field: -1.5 if kind in (float, "float") else 1 for field, kind in list_columns(CaseRow).items()}
    texts = {field for field, kind in list_columns(CaseRow).items() if kind in (str, "str")}
    row = CaseRow(**{name: "=cmd()" if name in texts else value for name, value in names.items()})
    with RowWriter(tmp_path / "cases.csv", CaseRow) as table:
        table.write([row])
    with (tmp_path / "cases.csv").open() as stream:
        (stored,) = csv.DictReader(stream)
    assert {stored[name] for name in texts} == {"'=cmd()"}
    assert list(read_rows(tmp_path / "cases.csv", CaseRow)) == [row]


def test_method_comparison_tables_escape_names(tmp_path):
    write_table(tmp_path / "sets.csv", [SetRow("=cmd()", 1, "t1", "wt", 0.5)], SetRow, parquet=False)
    assert (tmp_path / "sets.csv").read_text().splitlines()[1] == "'=cmd(),1,t1,wt,0.5"
