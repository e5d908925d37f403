"""`prediction.view()`: volumes, their order and ranges, and the error without the widget."""

import gzip
import sys
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from brats_mm.domain.case import Case
from brats_mm.domain.modality import Modality
from brats_mm.domain.prediction import Importance, ModelIdentity, Prediction, Run
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.volume import Grid, Volume
from brats_mm.errors import OptionError
from brats_mm.outputs.notebook_view import build_label_colours, build_layers, find_start_position
from brats_mm.outputs.prediction_tools import TOOLS


@pytest.fixture(scope="module")
def prediction():
    """A z-scored image with negative values, and a tumour of 4 x 4 x 4 voxels of which half is uncertain."""
    grid = Grid((12, 12, 12), np.diag([-1.0, -1.0, 2.0, 1.0]))
    image = np.zeros(grid.shape, np.float32)
    image[2:10, 2:10, 2:10] = np.linspace(-2, 3, 512, dtype=np.float32).reshape(8, 8, 8)
    likely = np.full(grid.shape, 0.001, np.float32)
    likely[4:8, 4:8, 4:8] = 0.95
    likely[4:8, 4:8, 6:8] = 0.5
    return Prediction(
        case=Case("a patient", {Modality.T1CE: Volume(image, grid)}, grid),
        probabilities=dict.fromkeys(REGIONS, likely),
        importance=Importance({m: dict.fromkeys(REGIONS, float(m is Modality.T1CE)) for m in Modality}),
        model=ModelIdentity("made", "0", "0" * 64, 1),
        run=Run("cpu", "torch", (64, 64, 64), 1, {}),
        tools=TOOLS,
    )


def stored(layer):
    return nib.Nifti1Image.from_bytes(gzip.decompress(layer["data"]))


def test_image_labels_and_entropy_share_a_grid(prediction):
    image, labels, entropy = (stored(layer) for layer in build_layers(prediction))
    for one in (image, labels, entropy):
        np.testing.assert_allclose(one.affine, prediction.case.grid.affine)
    assert np.array_equal(np.asarray(labels.dataobj), prediction.labels())
    np.testing.assert_allclose(entropy.get_fdata(), prediction.combined_entropy(), atol=3e-5)


def test_image_with_negative_values_keeps_contrast(prediction):
    layer = build_layers(prediction)[0]
    inside = stored(layer).get_fdata()[2:10, 2:10, 2:10].ravel()
    assert (np.diff(inside) >= 0).all()
    assert layer["cal_max"] == pytest.approx(inside.max(), rel=0.02)


def test_entropy_covers_only_uncertain_voxels(prediction):
    layer = build_layers(prediction)[2]
    shown = stored(layer).get_fdata() >= layer["cal_min"]
    assert shown.sum() == 4 * 4 * 2


def test_labels_have_colours_and_names_of_other_outputs():
    colours = build_label_colours()
    assert colours["I"] == [0, 1, 2, 3]
    assert colours["A"][0] == 0
    assert [colours[key][3] for key in "RGB"] == [242, 190, 44]
    assert colours["labels"][2] == "Peritumoural oedema"


def test_view_is_widget_with_three_volumes(prediction):
    ipyniivue = pytest.importorskip("ipyniivue")
    widget = prediction.view(height_px=300)
    assert isinstance(widget, ipyniivue.NiiVue)
    assert [volume.name for volume in widget.volumes] == ["t1ce.nii.gz", "segmentation.nii.gz", "entropy.nii.gz"]
    assert widget.height == 300
    assert widget.opts.is_radiological_convention
    assert widget.scene.crosshair_pos == pytest.approx(find_start_position(prediction))
    assert widget.volumes[1].colormap_label is not None
    assert widget.volumes[2].colormap in widget.colormaps()
    assert "patient" not in repr([volume.get_state() for volume in widget.volumes])


def test_missing_ipyniivue_error_names_package_to_install(prediction, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipyniivue", None)
    with pytest.raises(OptionError, match="pip install ipyniivue"):
        prediction.view()


def test_prediction_without_viewer_reports_it(prediction):
    with pytest.raises(OptionError, match=r"cannot be shown or saved. .*prediction_tools"):
        replace(prediction, tools=None).view()


def test_empty_prediction_can_be_viewed(prediction):
    nothing = {region: np.full((12, 12, 12), 0.001, np.float32) for region in Region}
    assert len(build_layers(replace(prediction, probabilities=nothing))) == 3


def test_view_starts_in_tumour(prediction):
    """The middle voxel, (5, 5, 5) of 12 along L, P and S, is the 7th from the left and posterior end."""
    assert find_start_position(prediction) == pytest.approx((1 - 5.5 / 12, 1 - 5.5 / 12, 5.5 / 12))


def test_view_without_tumour_starts_in_middle(prediction):
    nothing = {region: np.full((12, 12, 12), 0.001, np.float32) for region in Region}
    assert find_start_position(replace(prediction, probabilities=nothing)) == (0.5, 0.5, 0.5)
