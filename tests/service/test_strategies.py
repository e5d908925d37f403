"""Strategies for the next case on the server: first, random, or lowest expected Dice."""

import shutil

import nibabel as nib
import numpy as np
import pytest

from brats_mm_service.viewer.expected_dice import ExpectedDiceFile, read_expected_dice
from tests.fakes.serving import serving, small_settings

CASES = ("case-1", "case-2", "case-3")


@pytest.fixture
def settings(tmp_path, made_head):
    for name in CASES:
        (tmp_path / "cases" / name).mkdir(parents=True)
        shutil.copy(made_head / "BraTS-GLI-00000-000-t1c.nii.gz", tmp_path / "cases" / name)
    (tmp_path / "data").mkdir()
    return small_settings(tmp_path / "data", datastore=tmp_path / "cases")


def following(client, strategy):
    answer = client.post(f"/activelearning/{strategy}", json={})
    assert answer.json()["strategy"] == strategy
    return answer.json()["id"]


def correct(client, case, volume):
    answer = client.put(
        "/datastore/label", params={"image": case}, files={"label": ("label.nii.gz", volume.read_bytes())}
    )
    assert answer.status_code == 200, answer.text


def test_uncorrected_case_with_lowest_expected_dice_is_first(settings, tmp_path):
    file = ExpectedDiceFile(settings.data)
    for case, dice in {"case-1": 0.9, "case-2": 0.8, "case-3": 0.4}.items():
        file.set(case, dice)
    label = tmp_path / "label.nii.gz"
    image = nib.load(tmp_path / "cases" / "case-1" / "BraTS-GLI-00000-000-t1c.nii.gz")
    nib.save(nib.Nifti1Image(np.ones(image.shape, np.uint8), image.affine), label)
    with serving(settings) as client:
        assert following(client, "uncertain") == "case-3"
        assert following(client, "first") == "case-1"
        correct(client, "case-3", label)
        assert following(client, "uncertain") == "case-2"
        assert {following(client, "random") for _ in range(40)} == {"case-1", "case-2"}


def test_cases_without_result_are_last(settings):
    ExpectedDiceFile(settings.data).set("case-2", 1.0)
    with serving(settings) as client:
        assert following(client, "uncertain") == "case-2"


def test_unknown_strategy_error_lists_strategies(settings):
    with serving(settings) as client:
        answer = client.post("/activelearning/epistemic", json={})
        assert answer.status_code == 404
        assert "first, random, uncertain" in answer.json()["detail"]


def test_calibrated_dice_ranks_cases_and_no_tumour_counts_as_zero():
    assert read_expected_dice({"regions": {"wt": {"estimated_dice": 0.9, "expected_dice": 0.7}}}) == 0.7
    assert read_expected_dice({"regions": {"wt": {"estimated_dice": None, "expected_dice": None}}}) == 0.0


def test_unreadable_file_counts_as_empty(tmp_path):
    (tmp_path / "expected_dice.json").write_text("{")
    file = ExpectedDiceFile(tmp_path)
    assert file.read() == {}
    file.set("case-1", 0.25)
    assert ExpectedDiceFile(tmp_path).read() == {"case-1": 0.25}
