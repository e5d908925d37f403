"""Labelled cases that a site replays: accepted folders and choice of cases."""

import shutil

import pytest

from brats_mm.errors import CaseError
from brats_mm.learning.replay import find_replay_cases


def case(root, name, *files):
    (root / name).mkdir()
    for file in files:
        (root / name / file).write_bytes(b"x")


def test_case_needs_sequences_and_one_label(tmp_path):
    case(tmp_path, "a", "a-t1c.nii.gz", "a-t2f.nii.gz", "a-seg.nii.gz")
    case(tmp_path, "unlabelled", "b-t1c.nii.gz")
    case(tmp_path, "two-labels", "c-t1c.nii.gz", "c-seg.nii.gz", "c_seg.nii")
    case(tmp_path, "only-a-label", "d-seg.nii.gz")
    (found,) = find_replay_cases(tmp_path, 5)
    assert found.name == "a"
    assert [modality.value for modality in found.sequences] == ["t1ce", "flair"]
    assert found.label == tmp_path / "a" / "a-seg.nii.gz"


def test_many_cases_are_sampled_evenly_by_name(tmp_path):
    for number in range(9):
        case(tmp_path, f"case-{number}", "x-t1c.nii.gz", "x-seg.nii.gz")
    assert [one.name for one in find_replay_cases(tmp_path, 3)] == ["case-0", "case-3", "case-6"]
    assert len(find_replay_cases(tmp_path, 20)) == 9


def test_rejects_folder_without_labelled_case(tmp_path):
    with pytest.raises(CaseError, match="no labelled case to replay"):
        find_replay_cases(tmp_path, 3)
    shutil.rmtree(tmp_path)
    with pytest.raises(CaseError, match="no labelled case to replay"):
        find_replay_cases(tmp_path, 3)
