"""Names, paths, hashes and tables of a cohort."""

import csv
import os

import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from brats_mm.cohort.bids import locate_bids_folder, make_bids_filename, make_bids_prefix
from brats_mm.cohort.content import compute_stamp, hash_content
from brats_mm.cohort.layout import has_results, prepare_output, prepare_work_folder, publish
from brats_mm.cohort.records import CohortCase, Layout, explain_invalid_name
from brats_mm.cohort.tables import COLUMNS, TableFormat, build_row, write_results_table
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import LabelConvention

REPORT = {
    "sequences_found": ["t1ce", "flair"],
    "regions": {
        name: {
            "volume_ml": 2.0,
            "volume_range_ml": [3.0, 1.0],
            "mean_entropy_inside_nats": None,
            "estimated_dice": 0.8,
            "expected_dice": 0.76,
            "expected_dice_interval": [0.6, 0.9],
            "volume_interval_ml": [1.5, 4.0],
            "reliability": "reliable",
        }
        for name in ("wt", "tc", "et")
    },
    "trust": {"advice": "Adding T2 would help."},
    "uncertain_regions": [{}, {}],
    "preparation": {"kind": "raw"},
    "warnings": ["left is right", "up is down"],
    "model": {"name": "m", "version": "1", "weights_sha256": "ab"},
    "run": {"device": "cpu", "seconds": {"read": 0.5, "network": 1.25}},
}


def test_result_names_are_valid_or_ignored_in_bids():
    assert make_bids_filename("sub-01_ses-2", "segmentation.nii.gz") == "sub-01_ses-2_desc-tumour_dseg.nii.gz"
    assert make_bids_filename("sub-01", "mask_wt.nii.gz") == "sub-01_label-WT_mask.nii.gz"
    assert make_bids_filename("sub-01", "probability_et.nii.gz") == "sub-01_label-ET_probseg.nii.gz"
    assert make_bids_filename("sub-01", "entropy.nii.gz") == "sub-01_desc-entropy_map.nii.gz"
    assert make_bids_filename("sub-01", "entropy_wt.nii.gz") == "sub-01_label-WT_desc-entropy_map.nii.gz"
    assert make_bids_filename("sub-01", "importance_t1ce_tc.nii.gz") == "sub-01_label-TC_desc-importanceT1CE_map.nii.gz"
    assert make_bids_filename("sub-01", "report.json") == "sub-01_desc-report_bratsmm.json"
    assert locate_bids_folder("sub-01_ses-2").as_posix() == "sub-01/ses-2/anat"


def test_other_names_become_distinct_bids_subjects():
    assert make_bids_prefix("case7") == "sub-case7"
    assert make_bids_prefix("a-1") != make_bids_prefix("a1") != make_bids_prefix("a_1")
    assert make_bids_prefix("a-1").startswith("sub-a1x")


@given(st.text(max_size=130))
def test_valid_name_is_one_path_component(name):
    if explain_invalid_name(name) is None:
        assert name
        assert os.path.basename(name) == name  # noqa: PTH119
        assert name not in (".", "..")
        assert locate_bids_folder(name).parts[-1] == "anat"


def test_content_hash_covers_bytes_and_stamp_covers_dates(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "t1.nii.gz").write_bytes(b"voxels")
    (tmp_path / "two" / ".hidden").write_bytes(b"nothing")
    one, two = (CohortCase(name, folder=str(tmp_path / name)) for name in ("one", "two"))
    assert hash_content(one) == hash_content(two)
    assert compute_stamp(one) != compute_stamp(two)
    before = compute_stamp(one)
    os.utime(tmp_path / "one" / "t1.nii.gz", (1, 1))
    assert compute_stamp(one) != before
    (tmp_path / "two" / "t1.nii.gz").write_bytes(b"others")
    assert hash_content(one) != hash_content(two)


def test_same_file_as_other_sequence_is_other_case(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"voxels")
    first, second = (CohortCase("a", files={one: str(tmp_path / "a.nii.gz")}) for one in (Modality.T1, Modality.T2))
    assert hash_content(first) != hash_content(second)


def test_bids_results_exist_only_after_publishing(tmp_path):
    prepare_output(tmp_path / "out", Layout.BIDS, LabelConvention.BRATS2021, version="1.2")
    work = prepare_work_folder(tmp_path / "out", "case-7", Layout.BIDS)
    work.mkdir(parents=True)
    for name in ("report.json", "segmentation.nii.gz"):
        (work / name).write_text("x")
    assert not has_results(tmp_path / "out", "case-7", Layout.BIDS)
    place = publish(tmp_path / "out", "case-7", Layout.BIDS)
    assert has_results(tmp_path / "out", "case-7", Layout.BIDS)
    assert len(list((tmp_path / "out" / place).iterdir())) == 2
    assert not work.exists()
    assert (
        tmp_path / "out" / "desc-tumour_dseg.tsv"
    ).read_text() == "index\tname\n0\tbackground\n1\tncr\n2\ted\n4\tet\n"


def test_partial_files_of_killed_worker_are_removed(tmp_path):
    left = tmp_path / "cases" / "a" / ".brats-mm-x" / "new"
    left.mkdir(parents=True)
    assert prepare_work_folder(tmp_path, "a", Layout.PLAIN) == tmp_path / "cases" / "a"
    assert list((tmp_path / "cases" / "a").iterdir()) == []


def test_row_matches_report_and_columns_cover_every_value(tmp_path):
    row = build_row("a", "cases/a", REPORT, {"weights": {"t1ce": {"wt": 0.25, "tc": 0.5, "et": 0.75}}})
    assert set(row) <= set(COLUMNS)
    assert row["sequences"] == "t1ce+flair"
    assert (row["volume_wt_low_ml"], row["volume_wt_ml"], row["volume_wt_high_ml"]) == (1.0, 2.0, 3.0)
    assert (row["estimated_dice_wt"], row["reliability_wt"]) == (0.8, "reliable")
    assert (row["expected_dice_wt_low"], row["expected_dice_wt"], row["expected_dice_wt_high"]) == (0.6, 0.76, 0.9)
    assert (row["volume_et_interval_low_ml"], row["volume_et_interval_high_ml"]) == (1.5, 4.0)
    assert row["advice"] == "Adding T2 would help."
    assert (row["importance_t1ce_et"], row["seconds"], row["uncertain_regions"], row["raw"]) == (0.75, 1.75, 2, True)
    table = pq.read_table(write_results_table(tmp_path, iter([row]), TableFormat.PARQUET)).to_pylist()
    assert table == [{name: row.get(name) for name in COLUMNS}]
    with write_results_table(tmp_path, iter([row]), TableFormat.CSV).open() as stream:
        assert next(csv.DictReader(stream))["warnings"] == "left is right; up is down"
