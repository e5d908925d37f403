"""Predictions in Python: saving, conversion, text, and notebook display."""

import json
from dataclasses import replace
from html import unescape

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from brats_mm.domain.case import Case
from brats_mm.domain.modality import Modality
from brats_mm.domain.prediction import Importance, ModelIdentity, Prediction, Run
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.volume import Grid, Volume
from brats_mm.errors import OptionError, OutputError
from brats_mm.outputs.prediction_tools import TOOLS
from brats_mm.outputs.scene.write import note
from brats_mm.trust.assess import Assessment, assess

AFFINE = np.array([[-1.0, 0, 0, 20], [0, -2.0, 0, 30], [0, 0, 3.0, -10], [0, 0, 0, 1]])


@pytest.fixture
def prediction():
    """An enhancing tumour of 2 x 2 x 2 voxels of 6 mm3 in a core of 4 x 4 x 4: 0.048 and 0.384 mL."""
    grid = Grid((10, 12, 8), AFFINE)
    image = np.zeros(grid.shape, np.float32)
    image[1:9, 1:11, 1:7] = 100
    core, enhancing = (np.full(grid.shape, 0.01, np.float32) for _ in range(2))
    core[2:6, 2:6, 2:6] = 0.9
    enhancing[2:4, 2:4, 2:4] = 0.9
    weights = {m: dict.fromkeys(REGIONS, float(m is Modality.FLAIR)) for m in Modality}
    return Prediction(
        case=Case("Jane Doe", {Modality.FLAIR: Volume(image, grid)}, grid),
        probabilities={Region.WT: core, Region.TC: core, Region.ET: enhancing},
        importance=Importance(weights),
        model=ModelIdentity("made", "1.2", "ab" * 32, 1),
        run=Run("cpu", "torch", (8, 8, 8), 1, {"network": 1.0}),
        warnings=("Look <twice>.",),
        tools=TOOLS,
    )


def test_save_writes_same_files_as_command_line(prediction, tmp_path):
    files = prediction.save(tmp_path / "result", labels="brats2021", probabilities=True, preview=False)
    names = {path.name for path in files}
    assert {"segmentation.nii.gz", "segmentation.seg.nrrd", "report.json", "probability_et.nii.gz"} <= names
    assert {path.name for path in (tmp_path / "result").iterdir()} == names
    labels = np.asarray(nib.load(tmp_path / "result" / "segmentation.nii.gz").dataobj)
    assert sorted(np.unique(labels)) == [0, 1, 4]
    assert json.loads((tmp_path / "result" / "report.json").read_text())["label_convention"] == "brats2021"


def test_save_replaces_results_only_with_overwrite(prediction, tmp_path):
    prediction.save(tmp_path, preview=False)
    with pytest.raises(OutputError, match=r"already holds .* overwrite=True"):
        prediction.save(tmp_path, preview=False)
    prediction.save(tmp_path, preview=False, overwrite=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sceen": True}, "sceen.*Available options: labels, probabilities, masks, importance_maps"),
        ({"dicom": True}, "segment --dicom"),
        ({"labels": "brats1"}, "brats2021"),
        ({"importance_maps": True}, "importance_maps=True to Segmenter.predict"),
        ({"leave_one_out": True}, "leave_one_out=True to Segmenter.predict"),
    ],
)
def test_rejects_options_that_save_cannot_apply(prediction, tmp_path, options, message):
    with pytest.raises(OptionError, match=message):
        prediction.save(tmp_path / "result", **options)
    assert not (tmp_path / "result").exists()


def test_nibabel_images_have_voxels_and_affine_of_input(prediction):
    labels, entropy, core = (prediction.to_nibabel(name) for name in ("labels", "entropy", "tc"))
    assert np.array_equal(np.asarray(labels.dataobj), prediction.labels())
    assert labels.get_data_dtype() == np.uint8
    np.testing.assert_allclose(entropy.get_fdata(), prediction.combined_entropy())
    np.testing.assert_array_equal(core.get_fdata(dtype=np.float32), prediction.probabilities[Region.TC])
    for image in (labels, entropy, core):
        np.testing.assert_allclose(image.affine, AFFINE)
    assert np.asarray(prediction.to_nibabel(labels="brats2021").dataobj).max() == 4


def test_sitk_images_have_voxels_at_lps_positions(prediction):
    image = prediction.to_sitk()
    assert image.GetSize() == (10, 12, 8)
    np.testing.assert_allclose(image.TransformIndexToPhysicalPoint((0, 0, 0)), (-20, -30, -10))
    np.testing.assert_allclose(image.TransformIndexToPhysicalPoint((1, 1, 1)), (-19, -28, -7))
    assert np.array_equal(SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0), prediction.labels())


def test_unknown_volume_error_lists_volumes(prediction):
    with pytest.raises(OptionError, match="labels, entropy, wt, tc, et"):
        prediction.to_nibabel("probability")


def test_repr_is_one_line_with_volumes_and_sequences(prediction):
    assert repr(prediction) == (
        "<Prediction: WT 0.4 mL, TC 0.4 mL, ET 0.0 mL; sequences FLAIR, missing T1, T1ce, T2; "
        "10 x 12 x 8 voxels; model made 1.2>"
    )


def test_notebooks_show_preview_volumes_and_warnings_without_case_name(prediction):
    html = prediction._repr_html_()
    assert 'src="data:image/png;base64,iVBOR' in html
    assert "<td>0.4</td>" in html
    assert "<td>88 %</td><td>reliable</td>" in html
    assert "<td>58 %</td><td>review</td>" in html
    assert "no trust profile" in html
    assert "Look &lt;twice&gt;." in html
    assert "Missing: T1, T1ce, T2" in html
    assert "not for diagnosis" in html
    assert "Jane" not in html


def test_every_output_has_the_warnings_advice_and_statement_of_the_assessment(prediction, tmp_path, monkeypatch):
    """An enhancing tumour with probability 0.51 in 8 of 64 uncertain voxels is unreliable, which only `assess` knows."""
    uncertain = np.where(prediction.probabilities[Region.TC] > 0.5, np.float32(0.49), np.float32(0))
    uncertain[2:4, 2:4, 2:4] = 0.51
    doubtful = replace(prediction, probabilities=prediction.probabilities | {Region.ET: uncertain})
    assessment = assess(doubtful)
    outline = assessment.warnings[-1]
    assert outline.startswith("The outline of the enhancing tumour is unreliable in this case")
    monkeypatch.setattr(Assessment, "advice", "Adding T1ce would help.")
    drawn = []
    monkeypatch.setattr("brats_mm.outputs.preview.picture.Canvas.text", lambda *args, **_: drawn.append(args[3]))
    doubtful.save(tmp_path, report=True)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["warnings"] == list(assessment.warnings) == ["Look <twice>.", outline]
    assert f"Warnings: {len(assessment.warnings)}, see the report." in drawn
    html = " ".join(unescape((tmp_path / "report.html").read_text("utf-8")).split())
    for text in (html, doubtful._repr_html_(), note(doubtful)):
        for sentence in (outline, "Adding T1ce would help.", "no trust profile for these weights"):
            assert sentence in text


def test_without_tools_only_text_is_shown(prediction):
    bare = replace(prediction, tools=None)
    assert bare._repr_html_() is None
    with pytest.raises(OptionError, match=r"Segmenter\.predict"):
        bare.save("result")


def test_accepts_labels_and_regions_as_strings(prediction):
    assert prediction.labels("brats2021").max() == 4
    assert prediction.volume_ml("et") == pytest.approx(0.048)
    assert prediction.mask("tc").sum() == 64
    with pytest.raises(OptionError, match="brats2023, brats2021"):
        prediction.labels("brats2019")
