"""`evaluate` and `compare` from the command line, with a tiny network on a synthetic head."""

import json

import nibabel as nib
import numpy as np
import pytest

from brats_mm.cli.main import main


@pytest.fixture
def labelled(head_folder):
    """A data set of one synthetic head with a box for a tumour, and a list that names it."""
    source = nib.load(head_folder / "BraTS-GLI-00000-000-t2f.nii.gz")
    labels = np.zeros(source.shape, np.uint8)
    labels[20:40, 20:40, 20:36] = 2
    labels[24:36, 24:36, 24:32] = 1
    labels[28:34, 28:34, 26:30] = 3
    nib.save(nib.Nifti1Image(labels, source.affine), head_folder / "BraTS-GLI-00000-000-seg.nii.gz")
    listed = head_folder.parent / "datalist.json"
    listed.write_text(json.dumps({"training": [], "validation": [head_folder.name]}))
    return listed


def test_evaluate_scores_all_subsets_and_compare_pairs_two_runs(capsys, labelled, tmp_path, tiny_bundle):
    quick = ("--bundle", str(tiny_bundle), "--device", "cpu", "--window", "64")
    for name in ("a", "b"):
        code = main(["evaluate", str(labelled), "-o", str(tmp_path / name), "--no-plots", *quick])
        assert code == 0
    out = capsys.readouterr().out
    assert "1 labelled case." in out
    assert "Means" in out
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert summary["cases"] == 1
    assert len(summary["sets"]) == 15

    code = main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(tmp_path / "c"), "--json"])
    compared = json.loads(capsys.readouterr().out)
    assert code == 0
    assert compared["cases"] == 1
    assert (tmp_path / "c" / "comparison.md").is_file()


def test_evaluation_is_replaced_only_with_overwrite(capsys, labelled, tmp_path, tiny_bundle):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "cases.csv").write_text("precious")
    code = main(["evaluate", str(labelled), "-o", str(tmp_path / "a"), "--bundle", str(tiny_bundle)])
    assert code == 2
    assert (tmp_path / "a" / "cases.csv").read_text() == "precious"


def test_reports_folder_without_labels(capsys, head_folder, tmp_path, tiny_bundle):
    code = main(["evaluate", str(head_folder.parent), "-o", str(tmp_path / "a"), "--bundle", str(tiny_bundle)])
    assert code == 2
    assert "needs reference labels" in capsys.readouterr().err.replace("\n", " ")


def test_evaluate_rejects_existing_evaluation_before_loading(tmp_path, capsys, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cases.csv").write_text("")
    monkeypatch.setattr("brats_mm.cli.commands.evaluate.load_segmenter", pytest.fail)

    assert main(["evaluate", str(tmp_path / "no_such_list.json"), "-o", str(tmp_path / "out")]) == 2

    assert "already holds an evaluation" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("evaluate", "CASES", "--section", "testing"), "--dataset-dir and --section apply to a list"),
        (("evaluate", "CASES", "--prediction-labels", "msd"), "--prediction-labels applies to --predictions"),
        (("evaluate", "CASES", "--predictions", "OTHER", "--window", "96"), "so --window would have no effect"),
        (("bundle", "create", "model.pt", "--section", "testing"), "choose the cases of --calibrate"),
    ],
)
def test_options_without_effect_are_rejected(command, message, tmp_path, capsys):
    assert main([*command, "-o", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
