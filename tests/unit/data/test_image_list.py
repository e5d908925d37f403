"""Images that a list names without sequences are assigned by their file names, else in channel order."""

import pytest

from brats_mm.data.image_list import assign_images
from brats_mm.errors import CaseError


def test_file_names_decide_in_any_order() -> None:
    auto3dseg = [f"Data/BraTS2021_01146/BraTS2021_01146_{kind}.nii.gz" for kind in ("flair", "t1ce", "t1", "t2")]

    assert assign_images(auto3dseg) == {
        "flair": auto3dseg[0],
        "t1ce": auto3dseg[1],
        "t1": auto3dseg[2],
        "t2": auto3dseg[3],
    }


def test_case_may_list_fewer_files() -> None:
    assert assign_images(["a/a-t2w.mha", "a/a-t1c.mha"]) == {"t2": "a/a-t2w.mha", "t1ce": "a/a-t1c.mha"}


def test_files_without_sequence_in_name_are_in_channel_order() -> None:
    assert assign_images(["a/0.nii.gz", None, "a/x.nii.gz", "a/y.nii.gz"]) == {
        "t1": "a/0.nii.gz",
        "t2": "a/x.nii.gz",
        "flair": "a/y.nii.gz",
    }


@pytest.mark.parametrize(
    "paths",
    [
        pytest.param(["a/flair.nii.gz", "a/x.nii.gz", "a/y.nii.gz", "a/z.nii.gz"], id="contradicts channel order"),
        pytest.param(["a/t1.nii.gz", "a/x.nii.gz"], id="some names are unknown"),
        pytest.param(["a/x.nii.gz"], id="one unknown file"),
        pytest.param(["a/t1.nii.gz", "b/t1.nii.gz"], id="a sequence twice"),
        pytest.param([], id="no file"),
    ],
)
def test_rejects_unclear_lists(paths: list[str]) -> None:
    with pytest.raises(CaseError, match=r"whose sequences are not clear: .*Name the sequence of each"):
        assign_images(paths)
