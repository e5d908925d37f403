"""All cases are checked before training, and all faults are reported together."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brats_mm.data import case_check
from brats_mm.data.case_check import check_cases
from brats_mm.data.checked_nifti import load_checked
from brats_mm.errors import CaseError


def _write(path: Path, values: np.ndarray, shift_mm: float = 0.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.eye(4)
    affine[0, 3] = shift_mm
    nib.save(nib.Nifti1Image(values, affine), path)


def _case(root: Path, name: str, *, label: int = 3, shape: tuple[int, int, int] = (8, 8, 8)) -> Path:
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[2:4] = label
    labels[4:6] = 2
    _write(root / name / f"{name}-t1.nii.gz", np.ones((8, 8, 8), np.float32))
    _write(root / name / f"{name}-t2.nii.gz", np.ones(shape, np.float32))
    _write(root / name / f"{name}-seg.nii.gz", labels)
    return root / name


def _list(root: Path, **sections: list[object]) -> Path:
    (root / "list.json").write_text(json.dumps(sections))
    return root / "list.json"


def test_valid_cases_are_counted(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        _case(tmp_path, name)

    assert check_cases(tmp_path, _list(tmp_path, training=["a", "b"], validation=["c"])) == 3


def test_every_faulty_case_is_reported_with_its_fault(tmp_path: Path) -> None:
    _case(tmp_path, "sound")
    _case(tmp_path, "odd_label", label=7)
    _case(tmp_path, "other_shape", shape=(8, 8, 9))
    (_case(tmp_path, "no_label") / "no_label-seg.nii.gz").unlink()
    (_case(tmp_path, "cut_off") / "cut_off-t1.nii.gz").write_bytes(b"not an image")
    _write(_case(tmp_path, "moved") / "moved-t2.nii.gz", np.ones((8, 8, 8), np.float32), shift_mm=3)
    listed = {"name": "lost", "image": {"t1": "lost/t1.nii.gz"}, "label": "lost/lost-seg.nii.gz"}
    datalist = _list(
        tmp_path,
        training=["sound", "odd_label", "other_shape", "no_label", "absent"],
        validation=["cut_off", "moved", listed],
    )

    with pytest.raises(CaseError, match="7 of 8 cases") as error:
        check_cases(tmp_path, datalist)

    message = str(error.value)
    assert "odd_label: odd_label-seg.nii.gz: the label map has the values 2, 7, but labels are 0 to 4" in message
    assert "other_shape: other_shape-t2.nii.gz does not have the grid of other_shape-t1.nii.gz" in message
    assert "no_label: the case has no label map" in message
    assert "absent: The list names the case absent" in message
    assert "cut_off: cut_off-t1.nii.gz cannot be read" in message
    assert "moved: moved-t2.nii.gz does not have the grid" in message
    assert "t1.nii.gz does not exist" in message
    assert "sound:" not in message


def test_cases_unused_by_single_expert_are_no_fault(tmp_path: Path) -> None:
    _case(tmp_path, "a")
    _case(tmp_path, "b", label=7)
    (tmp_path / "b" / "b-t2.nii.gz").unlink()

    assert check_cases(tmp_path, _list(tmp_path, training=["a", "b"]), sections=["training"], needs=["t2"]) == 2


def test_truncated_and_empty_images_are_found(tmp_path: Path) -> None:
    """A file that was truncated while it was copied has a valid header."""
    for name in ("sound", "cut", "empty"):
        _case(tmp_path, name)
    path = tmp_path / "cut" / "cut-t1.nii.gz"
    _write(path, np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32))
    path.write_bytes(path.read_bytes()[:-200])
    _write(tmp_path / "empty" / "empty-t2.nii.gz", np.zeros((8, 8, 8), np.float32))

    with pytest.raises(CaseError, match="2 of 3 cases") as error:
        check_cases(tmp_path, _list(tmp_path, training=["sound", "cut", "empty"]), sections=["training"])

    assert "cut-t1.nii.gz is truncated or damaged" in str(error.value)
    assert "empty-t2.nii.gz is zero everywhere. Remove the sequence from the list" in str(error.value)


def test_rejects_repeated_cases_and_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        _case(tmp_path, name)
    twin = {"name": "twin", "image": {"t1": "b/b-t1.nii.gz", "t1ce": "b/b-t1.nii.gz"}, "label": "b/b-seg.nii.gz"}

    with pytest.raises(CaseError) as error:
        check_cases(tmp_path, _list(tmp_path, training=["a", "b", twin], validation=["a"]))

    assert "a: the list names it 2 times (training, validation)" in str(error.value)
    assert "twin: b-t1.nii.gz is listed as t1 and t1ce" in str(error.value)


def test_warns_of_patient_in_training_and_validation(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("BraTS-GLI-00005-100", "BraTS-GLI-00005-101"):
        _case(tmp_path, name)
    check_cases(tmp_path, _list(tmp_path, training=["BraTS-GLI-00005-100"], validation=["BraTS-GLI-00005-101"]))
    assert "1 patients have scans in both training and validation" in caplog.text


def test_label_maps_must_follow_one_scheme(tmp_path: Path) -> None:
    _case(tmp_path, "a", label=3)
    _case(tmp_path, "b", label=4)
    listed = _list(tmp_path, training=["a", "b"])
    with pytest.raises(CaseError, match="Select their label scheme"):
        check_cases(tmp_path, listed, sections=["training"])
    with pytest.raises(CaseError, match=r"b-seg.nii.gz: the label map holds 4, which the label scheme brats2023"):
        check_cases(tmp_path, listed, sections=["training"], label_scheme="brats2023")
    assert check_cases(tmp_path, listed, sections=["training"], label_scheme="brats2024-post-treatment") == 2


@pytest.mark.parametrize("stored_backwards", [False, True])
def test_warns_of_brains_with_front_and_back_swapped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, stored_backwards: bool
) -> None:
    """The warning follows the header, not the order of storage."""
    inside = np.zeros((27, 32, 27), np.float32)
    inside[1:26, 1:31, 4:26] = 100
    inside[1:26, 21:31, 1:4] = 100  # the lowest part is at the front
    affine = np.diag([5.0, 5.0, 5.0, 1.0])
    if stored_backwards:
        inside, affine = inside[:, ::-1], affine @ np.diag([1.0, -1.0, 1.0, 1.0])
    turned = inside[:, ::-1]
    for name, values in (("front", inside), ("back", turned)):
        (tmp_path / name).mkdir()
        for part, data in (("t1", values), ("seg", np.cumsum(values > 0, axis=0).clip(0, 3).astype(np.uint8))):
            nib.Nifti1Image(data, affine).to_filename(tmp_path / name / f"{name}-{part}.nii.gz")
    with caplog.at_level("WARNING"):
        assert check_cases(tmp_path, _list(tmp_path, training=["front"], validation=["back"])) == 2
    assert "Cases whose front and back appear swapped: 1 (front)" in caplog.text
    caplog.clear()
    header = "RPS" if stored_backwards else "RAS"
    corrected = header.translate(str.maketrans("AP", "PA"))
    front = {"name": "front", "image": {"t1": "front/front-t1.nii.gz"}, "label": "front/front-seg.nii.gz"}
    listed = _list(tmp_path, training=[{**front, "orientation": corrected}])
    assert check_cases(tmp_path, listed, sections=["training"]) == 1
    assert "front and back" not in caplog.text
    with pytest.raises(CaseError, match="The orientation is 'SAR', but the header has"):
        check_cases(tmp_path, _list(tmp_path, training=[{**front, "orientation": "SAR"}]), sections=["training"])


def test_case_is_reread_only_after_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five training runs check one list. The expert of T1 asks for its sequence, the mixture for none."""
    opened: list[str] = []
    monkeypatch.setattr(case_check, "load_checked", lambda path: (opened.append(path.name), load_checked(path))[1])
    for name in ("a", "b"):
        _case(tmp_path, name)
    listed = _list(tmp_path, training=["a", "b"])
    for needs in (["t1"], ["t2"], []):
        assert check_cases(tmp_path, listed, sections=["training"], needs=needs) == 2
    assert sorted(opened) == sorted(f"{name}-{part}.nii.gz" for name in "ab" for part in ("t1", "t2", "seg"))
    _write(tmp_path / "b" / "b-t2.nii.gz", np.zeros((8, 8, 8), np.float32))
    with pytest.raises(CaseError, match=r"1 of 2 cases(.|\n)*b: b-t2.nii.gz is zero everywhere"):
        check_cases(tmp_path, listed, sections=["training"])
    assert len(opened) == 9
    _case(tmp_path, "a", label=7)
    with pytest.raises(CaseError, match=r"2 of 2 cases(.|\n)*a-seg.nii.gz: the label map has the values 2, 7"):
        check_cases(tmp_path, listed, sections=["training"])


def test_file_of_another_case_is_a_fault(tmp_path: Path) -> None:
    _case(tmp_path, "a")
    copy = {"name": "copy", "image": {"t1": "a/a-t1.nii.gz"}, "label": "a/a-seg.nii.gz", "label_scheme": "brats2023"}
    with pytest.raises(CaseError, match=r"copy: a-t1\.nii\.gz is also listed for a"):
        check_cases(tmp_path, _list(tmp_path, training=["a"], validation=[copy]))


def test_rejects_scheme_that_contradicts_the_list(tmp_path: Path) -> None:
    _case(tmp_path, "a")
    image = {"t1": "a/a-t1.nii.gz", "t2": "a/a-t2.nii.gz"}
    entry = {"name": "a", "image": image, "label": "a/a-seg.nii.gz", "label_scheme": "brats2023"}
    listed = _list(tmp_path, training=[entry])
    assert check_cases(tmp_path, listed, sections=["training"], label_scheme="brats2023") == 1
    with pytest.raises(CaseError, match="case a states the label scheme brats2023, but msd was given for all"):
        check_cases(tmp_path, listed, sections=["training"], label_scheme="msd")
