"""Case lists are written as requested, read by training, and not replaced without --overwrite."""

import json
from pathlib import Path

import pytest

from brats_mm.cli.main import main
from brats_mm.data.datalist import load_inference_items, load_training_items
from brats_mm.errors import CaseError, OptionError, OutputError
from brats_mm.pipeline.datalists import Division, write_datalists, write_fold_list, write_fold_lists

NAMES = ["a", "b", "c", "d", "e"]


def _case(folder: Path, *kinds: str) -> None:
    folder.mkdir(parents=True)
    for kind in kinds:
        (folder / f"{folder.name}-{kind}.nii.gz").touch()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Five labelled cases and one without labels."""
    for name in NAMES:
        _case(tmp_path / "cases" / name, "t1", "flair", "seg")
    _case(tmp_path / "cases" / "unlabelled", "t1")
    return tmp_path / "cases"


def _names(root: Path, path: Path, section: str) -> list[str]:
    return [item["name"] for item in load_training_items(root, path, section)]


def test_one_fifth_is_for_validation_and_unlabelled_cases_for_testing(root: Path) -> None:
    (written,) = write_datalists(root, root / "datalist.json")

    assert written.counts == {"training": 4, "validation": 1, "testing": 1}
    training, validation = (_names(root, written.path, section) for section in ("training", "validation"))
    assert sorted(training + validation) == NAMES
    assert [item["name"] for item in load_inference_items(root, written.path)] == ["unlabelled"]


def test_named_cases_are_for_validation(root: Path, tmp_path: Path) -> None:
    write_datalists(root, tmp_path / "elsewhere" / "list.json", Division(validation=("b", "d")))

    assert _names(root, tmp_path / "elsewhere" / "list.json", "validation") == ["b", "d"]


def test_sequence_may_be_kept_in_share_of_training_cases(root: Path) -> None:
    arguments = ["datalist", str(root), "-o", str(root / "few.json"), "--validation", "e", "--keep", "flair=0.25", "-q"]
    assert main(arguments) == 0
    content = json.loads((root / "few.json").read_text())
    assert sorted(len(item["image"]) for item in content["training"]) == [1, 1, 1, 2]
    assert [len(item["image"]) for item in content["validation"]] == [2]


def test_each_fold_gets_a_list(root: Path) -> None:
    written = write_datalists(root, root / "list.json", Division(folds=5, seed=3))

    assert [result.path.name for result in written] == [f"list_fold{fold}.json" for fold in range(5)]
    assert sorted(name for result in written for name in _names(root, result.path, "validation")) == NAMES


def test_list_with_fold_numbers_gets_a_list_per_fold(root: Path, tmp_path: Path) -> None:
    entries = [{"name": name, "fold": place % 2, **_entry(name)} for place, name in enumerate(NAMES)]
    (tmp_path / "folds.json").write_text(json.dumps({"training": entries}))

    written = write_fold_lists(tmp_path / "folds.json", tmp_path / "out" / "list.json")

    assert [result.path.name for result in written] == ["list_fold0.json", "list_fold1.json"]
    assert _names(root, written[0].path, "validation") == ["a", "c", "e"]
    assert _names(root, written[0].path, "training") == _names(root, written[1].path, "validation") == ["b", "d"]


@pytest.mark.parametrize(
    ("folds", "message"),
    [([0, 1, None], "1 of its 3 training cases have no fold"), ([0, 0, 0], "it has only one fold")],
)
def test_rejects_list_without_two_folds(tmp_path: Path, folds: list[int | None], message: str) -> None:
    entries = [
        {**_entry(name), **({} if fold is None else {"fold": fold})} for name, fold in zip("abc", folds, strict=True)
    ]
    (tmp_path / "folds.json").write_text(json.dumps({"training": entries}))
    with pytest.raises(CaseError, match=message):
        write_fold_lists(tmp_path / "folds.json", tmp_path / "list.json")


def _entry(name: str) -> dict[str, object]:
    return {"image": {"t1": f"{name}/{name}-t1.nii.gz"}, "label": f"{name}/{name}-seg.nii.gz", "label_scheme": "msd"}


def test_published_name_lists_split_cases_in_grade_folders(tmp_path: Path) -> None:
    _case(tmp_path / "cases" / "HGG" / "Brats18_1", "t1", "seg")
    _case(tmp_path / "cases" / "HGG" / "Brats18_2", "t1", "seg")
    _case(tmp_path / "cases" / "LGG" / "Brats18_3", "t1", "seg")
    _case(tmp_path / "cases" / "LGG" / "Brats18_4", "t1", "seg")
    for name, lines in {"train": "Brats18_1\n", "val": "Brats18_3\n", "test": "HGG_Brats18_2\n"}.items():
        (tmp_path / f"{name}.txt").write_text(lines)
    files = tuple(tmp_path / f"{name}.txt" for name in ("train", "val", "test"))

    (written,) = write_datalists(tmp_path / "cases", tmp_path / "list.json", Division(files=files))

    content = json.loads(written.path.read_text())
    assert content["training"][0]["image"] == {"t1": "HGG/Brats18_1/Brats18_1-t1.nii.gz"}
    assert [[item["name"] for item in content[section]] for section in written.counts] == [
        ["Brats18_1"],
        ["Brats18_3"],
        ["Brats18_2"],
    ]


def test_one_file_may_hold_the_whole_split(root: Path, tmp_path: Path) -> None:
    (tmp_path / "folds.txt").write_text("['./Training/HGG/a', './Training/b']\n['./Training/HGG/d']\n")
    (written,) = write_datalists(root, root / "list.json", Division(files=(tmp_path / "folds.txt",)))

    assert (_names(root, written.path, "training"), _names(root, written.path, "validation")) == (["a", "b"], ["d"])
    (tmp_path / "one.txt").write_text("a\n")
    with pytest.raises(OptionError, match=r"needs two or three lists of names.*1 were given"):
        write_datalists(root, root / "other.json", Division(files=(tmp_path / "one.txt",)))


def _nnunet_splits(path: Path, *folds: tuple[str, str]) -> Path:
    """Write folds as nnU-Net does, each with a letter per case."""
    path.write_text(json.dumps([{"train": [*train], "val": [*val]} for train, val in folds]))
    return path


def test_nnunet_splits_give_a_list_per_fold(root: Path, tmp_path: Path) -> None:
    splits = _nnunet_splits(tmp_path / "splits_final.json", ("abc", "d"), ("cd", "ab"))
    arguments = ["datalist", str(root), "-o", str(root / "list.json"), "--split", str(splits), "-q"]
    assert main(arguments) == 0
    lists = [root / f"list_fold{fold}.json" for fold in (0, 1)]
    assert [(_names(root, path, "training"), _names(root, path, "validation")) for path in lists] == [
        (["a", "b", "c"], ["d"]),
        (["c", "d"], ["a", "b"]),
    ]


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([("ab", "bc")], "Fold 0 of .* has b in both train and val"),
        ([("ab", "z")], "lists 1 case without a label map in the folder: z"),
        ([("ab", "")], "a fold without cases"),
        ([], "has no fold"),
    ],
)
def test_rejects_faulty_nnunet_splits(root: Path, folds: list[tuple[str, str]], message: str) -> None:
    splits = _nnunet_splits(root / "splits_final.json", *folds)
    with pytest.raises(CaseError, match=message):
        write_datalists(root, root / "list.json", Division(files=(splits,)))


@pytest.mark.parametrize("content", ["{", '["a"]', '{"train": ["a"], "val": ["b"]}', '[{"train": ["a"]}]'])
def test_rejects_json_without_folds_of_nnunet(root: Path, content: str) -> None:
    (root / "splits.json").write_text(content)
    with pytest.raises(CaseError, match=r"does not contain nnU-Net folds .* with the keys train and val"):
        write_datalists(root, root / "list.json", Division(files=(root / "splits.json",)))


def test_rejects_case_in_two_name_lists(root: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a\nb\n")
    (tmp_path / "b.txt").write_text("b\n")
    with pytest.raises(CaseError, match="The lists contain b more than once"):
        write_datalists(root, root / "list.json", Division(files=(tmp_path / "a.txt", tmp_path / "b.txt")))


@pytest.mark.parametrize(
    ("division", "error", "message"),
    [
        (Division(validation=("0.2",), folds=3), OptionError, "are mutually exclusive"),
        (Division(validation=("1.5",)), OptionError, r"is 1\.5\. It must be between 0 and 1"),
        (Division(validation=("nobody",)), CaseError, "no labelled case nobody"),
        (Division(validation=tuple(NAMES)), CaseError, "is left for training"),
        (Division(folds=1), OptionError, "at least 2"),
        (Division(files=(Path("x"),)), CaseError, "The list of names x cannot be read"),
    ],
)
def test_rejects_impossible_splits(root: Path, division: Division, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        write_datalists(root, root / "list.json", division)


def test_list_is_replaced_only_with_overwrite(root: Path) -> None:
    write_datalists(root, root / "list.json")
    with pytest.raises(OutputError, match=r"list\.json already exists.*--overwrite"):
        write_datalists(root, root / "list.json")
    write_datalists(root, root / "list.json", Division(validation=("c",)), overwrite=True)

    assert _names(root, root / "list.json", "validation") == ["c"]


def test_command_writes_list_and_prints_counts(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["datalist", str(root), "-o", str(root / "list.json"), "--validation", "a", "c", "--json"])

    assert code == 0
    counts = {"training": 3, "validation": 2, "testing": 1}
    assert json.loads(capsys.readouterr().out) == [
        {
            "path": str(root / "list.json"),
            "counts": counts,
            "schemes": [],
            "training_sequences": {"t1": 3, "t1ce": 0, "t2": 0, "flair": 3},
        }
    ]


def test_command_reports_missing_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["datalist", str(tmp_path / "absent"), "-o", str(tmp_path / "list.json")]) == 2
    assert "There is no folder" in capsys.readouterr().err


def test_selects_fold_by_number_from_list_with_fold_keys(root: Path, tmp_path: Path) -> None:
    entries = [
        {
            "image": {"t1": f"{name}/{name}-t1.nii.gz"},
            "label": f"{name}/{name}-seg.nii.gz",
            "label_scheme": "brats2023",
            "fold": fold,
        }
        for name, fold in zip(NAMES, (0, 0, 2, 2, 2), strict=True)
    ]
    listed = tmp_path / "folds.json"
    listed.write_text(json.dumps({"training": entries}))

    path = write_fold_list(listed, tmp_path / "out" / "datalist.json", 2)
    assert _names(root, path, "training") == ["a", "b"]
    assert _names(root, path, "validation") == ["c", "d", "e"]
    with pytest.raises(OptionError, match=r"no fold 1. Available folds: 0, 2"):
        write_fold_list(listed, tmp_path / "out" / "datalist.json", 1)
