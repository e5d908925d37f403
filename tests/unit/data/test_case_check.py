"""Before training every case is looked at, and all that is wrong is said at once."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brats_mm.data.case_check import check_cases
from brats_mm.errors import CaseError


def _write(path: Path, values: np.ndarray, shift_mm: float = 0.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.eye(4)
    affine[0, 3] = shift_mm
    nib.save(nib.Nifti1Image(values, affine), path)


def _case(root: Path, name: str, *, label: int = 3, shape: tuple[int, int, int] = (8, 8, 8)) -> Path:
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[2:4] = label
    _write(root / name / f"{name}-t1.nii.gz", np.ones((8, 8, 8), np.float32))
    _write(root / name / f"{name}-t2.nii.gz", np.ones(shape, np.float32))
    _write(root / name / f"{name}-seg.nii.gz", labels)
    return root / name


def _list(root: Path, **sections: list[object]) -> Path:
    (root / "list.json").write_text(json.dumps(sections))
    return root / "list.json"


def test_sound_cases_are_counted(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        _case(tmp_path, name)

    assert check_cases(tmp_path, _list(tmp_path, training=["a", "b"], validation=["c"])) == 3


def test_every_faulty_case_is_named_with_its_fault(tmp_path: Path) -> None:
    _case(tmp_path, "sound")
    _case(tmp_path, "odd_label", label=7)
    _case(tmp_path, "other_shape", shape=(8, 8, 9))
    (_case(tmp_path, "no_label") / "no_label-seg.nii.gz").unlink()
    (_case(tmp_path, "cut_off") / "cut_off-t1.nii.gz").write_bytes(b"not an image")
    _write(_case(tmp_path, "moved") / "moved-t2.nii.gz", np.ones((8, 8, 8), np.float32), shift_mm=3)
    listed = {"name": "lost", "image": {"t1": "lost/t1.nii.gz"}, "label": "sound/sound-seg.nii.gz"}
    datalist = _list(
        tmp_path,
        training=["sound", "odd_label", "other_shape", "no_label", "absent"],
        validation=["cut_off", "moved", listed],
    )

    with pytest.raises(CaseError, match="7 of the 8 cases") as caught:
        check_cases(tmp_path, datalist)

    said = str(caught.value)
    assert "odd_label: odd_label-seg.nii.gz: The label map" in said
    assert "other_shape: other_shape-t2.nii.gz does not lie on the grid of other_shape-t1.nii.gz" in said
    assert "no_label: it has no label map" in said
    assert "absent: The list names the case absent" in said
    assert "cut_off: cut_off-t1.nii.gz cannot be read" in said
    assert "moved: moved-t2.nii.gz does not lie on the grid" in said
    assert "t1.nii.gz does not exist" in said
    assert "sound:" not in said


def test_cases_that_a_single_expert_would_not_see_are_no_fault(tmp_path: Path) -> None:
    _case(tmp_path, "a")
    _case(tmp_path, "b", label=7)
    (tmp_path / "b" / "b-t2.nii.gz").unlink()

    assert check_cases(tmp_path, _list(tmp_path, training=["a", "b"]), sections=["training"], needs=["t2"]) == 2
