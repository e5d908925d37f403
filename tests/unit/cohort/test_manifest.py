"""Manifests: tables, BIDS datasets and folders give the same cases. Unusable lines keep their number and a reason."""

import os
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from brats_mm.cohort.manifest import open_manifest
from brats_mm.cohort.records import CohortCase
from brats_mm.domain.modality import Modality
from brats_mm.errors import CaseError

ROWS = {"case": ["a", ""], "folder": ["", "cohort/b"], "t1ce": ["x/t1ce.nii.gz", None], "age": [61, 62]}


def expected(folder):
    return [
        CohortCase("a", files={Modality.T1CE: str(folder / "x" / "t1ce.nii.gz")}),
        CohortCase("b", folder=str(folder / "cohort" / "b")),
    ]


def test_csv_with_other_columns_and_a_byte_order_mark(tmp_path):
    table = tmp_path / "cases.csv"
    table.write_text("Case,folder, T1ce ,age\na,,x/t1ce.nii.gz,61\n,cohort/b,,62\n", encoding="utf-8-sig")
    manifest = open_manifest(table)
    assert (manifest.count, list(manifest.cases())) == (2, expected(tmp_path))
    assert list(manifest.cases()) == expected(tmp_path), "it can be listed again"


def test_parquet_and_tab_separated_tables_give_same_cases(tmp_path):
    pq.write_table(pa.table(ROWS), tmp_path / "cases.parquet")
    (tmp_path / "cases.tsv").write_text("case\tfolder\tt1ce\na\t\tx/t1ce.nii.gz\n\tcohort/b\t\n")
    for name in ("cases.parquet", "cases.tsv"):
        assert list(open_manifest(tmp_path / name).cases()) == expected(tmp_path)


def test_folder_of_cases_skips_hidden_folders_and_files(tmp_path):
    for name in ("b", "a", ".cache"):
        (tmp_path / name).mkdir()
    (tmp_path / "notes.txt").touch()
    assert list(open_manifest(tmp_path).cases()) == [CohortCase(name, str(tmp_path / name)) for name in ("a", "b")]


def test_bids_has_a_case_per_session_or_subject(tmp_path):
    places = ["sub-01/anat", "sub-02/ses-1/anat", "sub-02/ses-2/anat", "sub-03/dwi", "derivatives/sub-01/anat"]
    for place in places:
        (tmp_path / place).mkdir(parents=True)
    manifest = open_manifest(tmp_path)
    assert manifest.count == 3
    assert list(manifest.cases()) == [
        CohortCase("sub-01", str(tmp_path / "sub-01" / "anat")),
        CohortCase("sub-02_ses-1", str(tmp_path / "sub-02" / "ses-1" / "anat")),
        CohortCase("sub-02_ses-2", str(tmp_path / "sub-02" / "ses-2" / "anat")),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (",,", "Line 1 of the manifest has no case name"),
        ("a,,", "has neither a folder nor a file"),
        ("a,b,c.nii.gz", "has both a folder and files"),
        ("a/b,b,", "is not a valid folder name"),
        (".a,b,", "is not a valid folder name"),
        (f"{'a' * 200},b,", "is not a valid folder name"),
    ],
)
def test_unusable_line_is_a_case_with_a_fault(tmp_path, line, said):
    table = tmp_path / "cases.csv"
    table.write_text(f"case,folder,t1\n{line}\n")
    (case,) = open_manifest(table).cases()
    assert said in case.fault
    assert case.fault.endswith(".")


def test_rejects_invalid_manifests(tmp_path):
    one_case = tmp_path / "case"
    one_case.mkdir()
    (one_case / "t1.nii.gz").touch()
    corrupted = tmp_path / "spoilt.parquet"
    corrupted.write_bytes(b"PAR1 nothing")
    strange = tmp_path / "strange.csv"
    strange.write_text("id,path\n1,a\n")
    latin = tmp_path / "latin.csv"
    latin.write_bytes("case,folder\nMüller,a\n".encode("latin-1"))
    (tmp_path / "none").mkdir()
    for place, message in {
        Path("nowhere.csv"): "There is no manifest",
        one_case: "it is a single case",
        one_case / "t1.nii.gz": "is not a manifest",
        corrupted: "is not a valid Parquet table",
        strange: "has the columns id, path",
        latin: "cannot be read",
        tmp_path / "none": "lists no case",
    }.items():
        with pytest.raises(CaseError, match=message):
            open_manifest(place)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_folder_name_that_is_not_utf8_is_read_as_latin1(tmp_path):
    (tmp_path / os.fsdecode(b"M\xfcller")).mkdir()
    (case,) = open_manifest(tmp_path).cases()
    assert (case.name, case.fault) == ("Müller", None)
    assert Path(case.folder).is_dir()
