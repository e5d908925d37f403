"""Cases come from folders, Decathlon-style lists and split files, and errors name the file or case."""

import json
import os
from pathlib import Path

import pytest

from brats_mm.data.datalist import find_item, find_items, load_inference_items, load_training_items, make_datalist
from brats_mm.errors import CaseError, OptionError
from brats_mm.io.labelled_cases import list_labelled_cases


def _case(root: Path, name: str, *kinds: str) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    for kind in kinds:
        (folder / f"{name}-{kind}.nii.gz").touch()
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two labelled cases, one of them without T2, and one without labels."""
    _case(tmp_path, "BraTS-GLI-00001-000", "t1n", "t1c", "t2w", "t2f", "seg")
    _case(tmp_path, "Brats18_2", "t1", "t1ce", "flair", "seg")
    _case(tmp_path, "unlabelled", "t1")
    return tmp_path


def test_folder_is_read_in_either_naming(root: Path) -> None:
    item = find_item(root / "BraTS-GLI-00001-000")

    assert item is not None
    assert set(item["image"]) == {"t1", "t1ce", "t2", "flair"}
    assert item["image"]["flair"].endswith("t2f.nii.gz")
    assert item["label"].endswith("seg.nii.gz")


def test_case_may_lack_sequences_and_labels(root: Path) -> None:
    names = {item["name"]: item for item in find_items(root)}

    assert set(names["Brats18_2"]["image"]) == {"t1", "t1ce", "flair"}
    assert "label" not in names["unlabelled"]


def test_rejects_two_files_of_one_sequence(tmp_path: Path) -> None:
    folder = _case(tmp_path, "twice", "t1ce", "t1c")
    with pytest.raises(CaseError, match=r"two files for t1ce: twice-t1c\.nii\.gz and twice-t1ce\.nii\.gz"):
        find_item(folder)


def test_rejects_two_label_maps(tmp_path: Path) -> None:
    folder = _case(tmp_path, "twice", "t1", "seg", "mask")
    with pytest.raises(CaseError, match="several label maps"):
        find_item(folder)


def test_error_for_folder_without_cases_describes_expected_content(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="contains no case"):
        find_items(tmp_path)
    with pytest.raises(CaseError, match="There is no folder"):
        find_items(tmp_path / "absent")


def test_list_of_folder_round_trips(root: Path) -> None:
    result = make_datalist(root, find_items(root), ["Brats18_2"])
    (root / "list.json").write_text(json.dumps(result))

    training = load_training_items(root, root / "list.json", "training")
    validation = load_training_items(root, root / "list.json", "validation")

    assert [item["name"] for item in training] == ["BraTS-GLI-00001-000"]
    assert [item["name"] for item in validation] == ["Brats18_2"]
    assert Path(training[0]["image"]["t1"]) == root / "BraTS-GLI-00001-000" / "BraTS-GLI-00001-000-t1n.nii.gz"
    assert not Path(result["training"][0]["label"]).is_absolute()


def test_validation_names_must_exist(root: Path) -> None:
    with pytest.raises(CaseError, match="no labelled case nobody"):
        make_datalist(root, find_items(root), ["nobody"])


def test_accepts_split_file_of_names(root: Path) -> None:
    (root / "split.json").write_text(json.dumps({"train": ["Brats18_2"], "validation": ["BraTS-GLI-00001-000"]}))

    assert [item["name"] for item in load_training_items(root, root / "split.json", "training")] == ["Brats18_2"]


def test_list_may_have_paths_in_channel_order_with_gaps(root: Path) -> None:
    entry = {
        "image": ["a/t1.nii.gz", None, "a/t2.nii.gz", None],
        "label": "a/seg.nii.gz",
        "label_scheme": "brats2018",
    }
    (root / "list.json").write_text(json.dumps({"training": [entry]}))

    item = load_training_items(root, root / "list.json", "training")[0]

    assert item["image"] == {"t1": str(root / "a/t1.nii.gz"), "t2": str(root / "a/t2.nii.gz")}
    assert item["label_scheme"] == "brats2018"
    assert item["name"] == "a"


def test_cases_without_needed_sequence_are_skipped(root: Path) -> None:
    (root / "split.json").write_text(json.dumps({"training": ["Brats18_2", "BraTS-GLI-00001-000"]}))

    names = [item["name"] for item in load_training_items(root, root / "split.json", "training", needs=["t2"])]

    assert names == ["BraTS-GLI-00001-000"]


@pytest.mark.parametrize(
    ("content", "section", "error", "message"),
    [
        ({"training": ["absent"]}, "training", CaseError, "names the case absent"),
        ({"training": ["unlabelled"]}, "training", CaseError, "have no label map: unlabelled"),
        ({"training": ["Brats18_2"]}, "validation", CaseError, "has no section validation. It has training"),
        ({"training": ["Brats18_2"]}, "tests", OptionError, "'tests'. Choose one of training, validation, testing"),
        (
            {"training": ["Brats18_2"], "validation": []},
            "validation",
            CaseError,
            "section validation of .* has no cases",
        ),
        ({"training": [{"label": "y"}]}, "training", CaseError, r"has no images: \{'label': 'y'\}\. Name their files"),
        ({"training": [7]}, "training", CaseError, "has no images: 7"),
        ({"training": [{"image": {"pd": "x"}, "label": "y"}]}, "training", CaseError, "sequences named pd"),
    ],
)
def test_rejects_faulty_lists(root: Path, content: object, section: str, error: type[Exception], message: str) -> None:
    (root / "list.json").write_text(json.dumps(content))
    with pytest.raises(error, match=message):
        load_training_items(root, root / "list.json", section)


def test_no_case_with_needed_sequence_is_an_error(root: Path) -> None:
    (root / "split.json").write_text(json.dumps({"training": ["Brats18_2"]}))
    with pytest.raises(CaseError, match="has t2"):
        load_training_items(root, root / "split.json", "training", needs=["t2"])


def test_error_names_unreadable_list(root: Path) -> None:
    with pytest.raises(CaseError, match=r"absent\.json cannot be read"):
        load_training_items(root, root / "absent.json", "training")


def test_inference_iterates_over_sub_folders(root: Path) -> None:
    assert [item["name"] for item in load_inference_items(root)] == ["BraTS-GLI-00001-000", "Brats18_2", "unlabelled"]
    with pytest.raises(CaseError, match="has no case folders"):
        load_inference_items(root / "unlabelled")


def test_inference_accepts_list_without_labels(root: Path) -> None:
    content = {"testing": ["unlabelled", {"name": "b", "image": {"t2": "x/t2.nii.gz"}}]}
    (root / "list.json").write_text(json.dumps(content))

    items = load_inference_items(root, root / "list.json")

    assert [item["name"] for item in items] == ["unlabelled", "b"]
    assert items[1]["image"] == {"t2": str(root / "x/t2.nii.gz")}


def test_evaluation_rejects_case_with_orientation_override(root: Path) -> None:
    name = next(item["name"] for item in find_items(root) if "label" in item)
    item = next(item for item in find_items(root) if item["name"] == name)
    listed = root / "list.json"
    listed.write_text(json.dumps({"validation": [{**item, "orientation": "LPS", "label_scheme": "brats2023"}]}))
    with pytest.raises(CaseError, match=rf"orientation of the case {name}"):
        list_labelled_cases(listed)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipe_without_writer_is_refused_as_list(tmp_path):
    os.mkfifo(tmp_path / "list.json")
    with pytest.raises(CaseError, match=r"list\.json cannot be read \(it is a pipe\)\. Provide a JSON list of cases\."):
        load_training_items(tmp_path, tmp_path / "list.json", "training")
