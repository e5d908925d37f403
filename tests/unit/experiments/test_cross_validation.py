"""Folds of a cross-validation come from one source, and faulty ones are refused before any training."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brats_mm.errors import BratsMMError
from brats_mm.experiments.cross_validation import (
    RECORD,
    CrossValidation,
    _merge_trainings,
    check_same_settings,
    cross_validate,
    prepare_fold_lists,
)
from brats_mm.io.bundle import open_bundle
from brats_mm.io.durable import write_json


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
    lists = prepare_fold_lists(plan)
    assert [path.name for path in lists] == ["datalist_fold0.json", "datalist_fold1.json"]
    validated = [[item["name"] for item in json.loads(path.read_text())["validation"]] for path in lists]
    assert validated == [["c"], ["a", "b"]]
    assert prepare_fold_lists(plan) == lists


def test_second_call_refuses_other_folds(plan: CrossValidation) -> None:
    prepare_fold_lists(plan)
    _splits(plan.dataset.parent, ("bc", "a"), ("a", "bc"))
    with pytest.raises(BratsMMError, match=r"contains lists of other folds than .*splits_final\.json"):
        prepare_fold_lists(plan)


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


@pytest.mark.parametrize("change", [{"seed": 4}, {"label_scheme": "brats2018"}, {}])
def test_second_call_refuses_other_seed_scheme_and_cases(plan: CrossValidation, change: dict[str, Any]) -> None:
    drawn = replace(plan, split=None, folds=2)
    prepare_fold_lists(drawn)
    assert len(prepare_fold_lists(drawn)) == 2
    if not change:
        (plan.dataset / "d").mkdir()
        for kind in ("t1", "seg"):
            (plan.dataset / "d" / f"d-{kind}.nii.gz").touch()
    with pytest.raises(BratsMMError, match="lists of other folds than --folds 2 --seed"):
        prepare_fold_lists(replace(drawn, **change))


def test_second_call_refuses_other_settings_with_both_values(plan: CrossValidation, tmp_path: Path) -> None:
    bundle = open_bundle(None)
    first = replace(plan, settings={"epochs": 1, "num_workers": 0})
    plan.output.mkdir()
    write_json(_merge_trainings(bundle, first), plan.output / RECORD)
    check_same_settings(bundle, replace(first, settings={"epochs": 1, "num_workers": 2}))
    with pytest.raises(BratsMMError, match=r"other settings: epochs was 1 and is now 2\. Continue"):
        check_same_settings(bundle, replace(first, settings={"epochs": 2}))
    (tmp_path / "mine.json").write_text('{"loss::weight": 3}')
    with pytest.raises(BratsMMError, match="loss::weight was @ranking_weight and is now 3"):
        check_same_settings(bundle, replace(first, configs=(str(tmp_path / "mine.json"),)))


def test_list_and_split_exclude_each_other(plan: CrossValidation) -> None:
    with pytest.raises(BratsMMError, match="both give the folds"):
        prepare_fold_lists(replace(plan, datalist=plan.dataset / "list.json"))
