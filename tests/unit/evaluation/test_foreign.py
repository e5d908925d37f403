"""Label maps of other programs are scored by the code that scores the model's predictions."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brats_mm.cli.main import main
from brats_mm.domain.label_scheme import LabelScheme
from brats_mm.errors import CaseError
from brats_mm.evaluation.foreign import make_label_map_predictor
from brats_mm.evaluation.run import EvaluationSettings, evaluate
from brats_mm.evaluation.tables import read_case_rows
from brats_mm.io.labelled_cases import list_labelled_cases

SIDE = 24
AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])
QUICK = EvaluationSettings(plots=False)


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """One case with two sequences. Oedema, core and enhancing tumour have 64 voxels each."""
    folder = tmp_path / "cases" / "one"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("t1ce", "flair"):
        image = np.zeros((SIDE,) * 3, np.float32)
        image[4:20, 4:20, 4:20] = rng.random((16, 16, 16)) + 1
        nib.save(nib.Nifti1Image(image, AFFINE), folder / f"one-{name}.nii.gz")
    nib.save(nib.Nifti1Image(_labels(1, 2, 3), AFFINE), folder / "one-seg.nii.gz")
    return folder.parent


def _labels(core: int, oedema: int, enhancing: int) -> np.ndarray:
    labels = np.zeros((SIDE,) * 3, np.uint8)
    labels[6:10, 6:10, 6:10], labels[6:10, 6:10, 10:14], labels[6:10, 6:10, 14:18] = oedema, core, enhancing
    return labels


def _predicted(folder: Path, labels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(labels, AFFINE), folder / "one.nii.gz")


def test_perfect_map_with_nnunet_labels_scores_one(cases: Path, tmp_path: Path) -> None:
    _predicted(tmp_path / "nnunet", _labels(2, 1, 3))
    evaluate(
        list_labelled_cases(cases),
        tmp_path / "out",
        make_label_map_predictor(tmp_path / "nnunet", scheme=LabelScheme.NNUNET_BRATS),
        QUICK,
    )
    rows = read_case_rows(tmp_path / "out")
    assert {(row.subset, row.region, row.dice) for row in rows if row.rule == "raw"} == {
        ("t1ce+flair", region, 1.0) for region in ("wt", "tc", "et")
    }


def test_voxels_outside_brain_count_as_wrong(cases: Path, tmp_path: Path) -> None:
    """192 right voxels of the whole tumour and 64 in the corner: Dice 2 * 192 / (192 + 256)."""
    labels = _labels(1, 2, 3)
    labels[:4, :4, :4] = 2
    _predicted(tmp_path / "other", labels)
    evaluate(list_labelled_cases(cases), tmp_path / "out", make_label_map_predictor(tmp_path / "other"), QUICK)
    wt = next(row for row in read_case_rows(tmp_path / "out") if (row.region, row.rule) == ("wt", "raw"))
    assert wt.dice == pytest.approx(2 * 192 / (192 + 256))


def test_folder_of_subset_is_scored_as_that_subset(cases: Path, tmp_path: Path) -> None:
    _predicted(tmp_path / "other" / "flair", _labels(1, 2, 3))
    evaluate(list_labelled_cases(cases), tmp_path / "out", make_label_map_predictor(tmp_path / "other"), QUICK)
    assert {row.subset for row in read_case_rows(tmp_path / "out")} == {"flair"}


def _shifted(path: Path, millimetres: float) -> None:
    image = nib.load(path)
    affine = image.affine.copy()
    affine[0, 3] += millimetres
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), affine), path)


@pytest.mark.parametrize(("millimetres", "nearest", "dice"), [(0.3, 0.3, 1.0), (0.6, 0.4, 0.75), (-0.9, 0.1, 0.75)])
def test_map_between_voxels_is_assigned_to_nearest_with_warning(
    cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], millimetres: float, nearest: float, dice: float
) -> None:
    """A box of 4 voxels moved by one voxel overlaps in 3 of 4: Dice 0.75."""
    _predicted(tmp_path / "other", _labels(1, 2, 3))
    _shifted(tmp_path / "other" / "one.nii.gz", millimetres)
    assert main(["evaluate", str(cases), "-o", str(tmp_path / "out"), "--predictions", str(tmp_path / "other")]) == 0
    warning = f"The label map one.nii.gz is {nearest:.3f} mm off the grid of the images."
    assert f"warning: one: {warning}" in capsys.readouterr().err
    assert warning in (tmp_path / "out" / "summary.md").read_text()
    wt = next(row for row in read_case_rows(tmp_path / "out") if (row.region, row.rule) == ("wt", "raw"))
    assert wt.dice == pytest.approx(dice)


def test_exact_maps_have_no_warning(cases: Path, tmp_path: Path) -> None:
    _predicted(tmp_path / "other", _labels(1, 2, 3))
    result = evaluate(list_labelled_cases(cases), tmp_path / "out", make_label_map_predictor(tmp_path / "other"), QUICK)
    assert result.summary["warnings"] == {}


def test_reference_off_the_images_is_named_once(cases: Path, tmp_path: Path) -> None:
    _predicted(tmp_path / "other", _labels(1, 2, 3))
    _shifted(cases / "one" / "one-seg.nii.gz", 0.4)
    result = evaluate(list_labelled_cases(cases), tmp_path / "out", make_label_map_predictor(tmp_path / "other"), QUICK)
    (warning,) = result.summary["warnings"]["one"]
    assert warning.startswith("The label map one-seg.nii.gz is 0.400 mm off")


def test_map_half_a_voxel_off_is_rejected(cases: Path, tmp_path: Path) -> None:
    _predicted(tmp_path / "other", _labels(1, 2, 3))
    _shifted(tmp_path / "other" / "one.nii.gz", 0.5)
    with pytest.raises(CaseError, match="is on a different grid than the images"):
        evaluate(list_labelled_cases(cases), tmp_path / "out", make_label_map_predictor(tmp_path / "other"), QUICK)


def test_command_scores_label_maps_and_reports_missing_ones(
    cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _predicted(tmp_path / "other", _labels(1, 2, 3))
    arguments = ["evaluate", str(cases), "-o", str(tmp_path / "out"), "--no-plots"]
    assert main([*arguments, "--predictions", str(tmp_path / "other")]) == 0
    assert (tmp_path / "out" / "cases.csv").is_file()
    assert "\nModel other, cases: 1. " in (tmp_path / "out" / "summary.md").read_text()
    assert main([*arguments, "--overwrite", "--predictions", str(cases)]) == 2
    assert "has no prediction of one" in capsys.readouterr().err
    with pytest.raises(CaseError, match="no folder"):
        make_label_map_predictor(tmp_path / "absent")


def test_grid_tolerance_refuses_smaller_offsets(
    cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _predicted(tmp_path / "other", _labels(1, 2, 3))
    _shifted(cases / "one" / "one-seg.nii.gz", 0.4)
    command = ["evaluate", str(cases), "-o", str(tmp_path / "out"), "--predictions", str(tmp_path / "other")]
    assert main([*command, "--grid-tolerance", "0.3"]) == 2
    assert "The label map one-seg.nii.gz is on a different grid than the images" in capsys.readouterr().err
    assert main([*command, "--grid-tolerance", "0.7"]) == 2
    assert "--grid-tolerance is 0.7. Use a number of voxels from 0 to 0.5." in capsys.readouterr().err
    assert main([*command, "--grid-tolerance", "0.45"]) == 0
