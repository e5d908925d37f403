"""Folds of a cross-validation come from one source, and faulty ones are refused before any training."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from brats_mm.errors import BratsMMError
from brats_mm.experiments.cross_validation import CrossValidation, cross_validate, fold_lists
from brats_mm.io.bundle import open_bundle


@pytest.fixture
def plan(tmp_path: Path) -> CrossValidation:
    """Three cases and a file of two folds by nnU-Net."""
    for name in "abc":
        (tmp_path / "cases" / name).mkdir(parents=True)
        for kind in ("t1", "seg"):
            (tmp_path / "cases" / name / f"{name}-{kind}.nii.gz").touch()
    plan = CrossValidation(tmp_path / "cases", tmp_path / "out", label_scheme="brats2023")
    return replace(plan, split=_splits(tmp_path, ("ab", "c"), ("c", "ab")))


def _splits(folder: Path, *folds: tuple[str, str]) -> Path:
    path = folder / "splits_final.json"
    path.write_text(json.dumps([{"train": [*train], "val": [*val]} for train, val in folds]))
    return path


def test_folds_of_nnunet_are_kept_in_second_call(plan: CrossValidation) -> None:
    lists = fold_lists(plan)
    assert [path.name for path in lists] == ["datalist_fold0.json", "datalist_fold1.json"]
    validated = [[item["name"] for item in json.loads(path.read_text())["validation"]] for path in lists]
    assert validated == [["c"], ["a", "b"]]
    assert fold_lists(plan) == lists


def test_second_call_refuses_other_folds(plan: CrossValidation) -> None:
    fold_lists(plan)
    _splits(plan.dataset.parent, ("bc", "a"), ("a", "bc"))
    with pytest.raises(BratsMMError, match=r"contains lists of other folds than .*splits_final\.json"):
        fold_lists(plan)


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([("a", "bc"), ("b", "ac")], "The case c is a validation case in folds 0 and 1"),
        ([("ab", "c")], "only one fold"),
    ],
)
def test_refuses_folds_that_cannot_be_pooled_before_training(
    plan: CrossValidation, folds: list[tuple[str, str]], message: str
) -> None:
    _splits(plan.dataset.parent, *folds)
    with pytest.raises(BratsMMError, match=message):
        cross_validate(open_bundle(None), plan)
    assert not list(plan.output.glob("fold*"))


def test_list_and_split_exclude_each_other(plan: CrossValidation) -> None:
    with pytest.raises(BratsMMError, match="both give the folds"):
        fold_lists(replace(plan, datalist=plan.dataset / "list.json"))
