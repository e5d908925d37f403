"""Images with extreme grey values are scaled, so that results do not depend on the unit of the values."""

import nibabel as nib
import numpy as np
import pytest

from brats_mm.data.transforms import LoadSequencesd
from brats_mm.data.value_range import scale_extremes
from brats_mm.errors import VolumeError
from brats_mm.inference.prepare import prepare
from brats_mm.io.case import read_case
from brats_mm.io.memory import to_volume
from brats_mm.io.recognise import recognise
from brats_mm.io.volume import read_volume

GREY = np.zeros((16, 16, 16), np.float32)
GREY[4:12, 4:12, 4:12] = np.random.default_rng(0).integers(100, 900, (8, 8, 8))


@pytest.mark.parametrize("factor", [2.0**-7, 1.0, 2.0**20])
def test_usual_values_are_unchanged(factor):
    scaled, notes = scale_extremes(GREY * np.float32(factor))

    assert notes == ()
    np.testing.assert_array_equal(scaled, GREY * np.float32(factor))


def test_scale_is_a_power_of_two_and_exact():
    scaled, notes = scale_extremes(np.array([0, 2.0**-100, 2.0**-90], np.float32))

    np.testing.assert_array_equal(scaled, [0, 1, 1024])
    assert notes == ("the grey values are up to 8.08e-28, and are multiplied by 2^100",)


@pytest.mark.parametrize("power", [-120, -60, 60, 115])
def test_model_input_does_not_depend_on_the_scale(tmp_path, power):
    def model_input(name, data):
        (tmp_path / name).mkdir()
        nib.Nifti1Image(data, np.diag([3, 3, 3, 1])).to_filename(tmp_path / name / "t1.nii.gz")
        return prepare(read_case(recognise(tmp_path / name)), 1.0).image.numpy()

    expected = model_input("usual", GREY)

    assert np.isfinite(expected).all()
    assert expected.std() > 0
    np.testing.assert_allclose(model_input("extreme", np.ldexp(GREY, power)), expected, atol=1e-5)


@pytest.mark.parametrize("power", [-120, 115])
def test_training_reads_extreme_values_like_inference(tmp_path, power):
    nib.Nifti1Image(np.ldexp(GREY, power), np.diag([3, 3, 3, 1])).to_filename(tmp_path / "t1.nii.gz")

    loaded = LoadSequencesd(["t1"])({"image": {"t1": str(tmp_path / "t1.nii.gz")}})

    expected = read_volume(tmp_path / "t1.nii.gz").data
    assert 500 < expected.max() < 2000
    np.testing.assert_array_equal(loaded["image"][0].numpy(), expected)


def test_images_in_memory_are_scaled():
    volume = to_volume((np.ldexp(GREY, 100), np.eye(4)), "t1")

    np.testing.assert_array_equal(volume.data, GREY)
    assert volume.notes[0].endswith("are multiplied by 2^-100")


def test_values_beyond_float32_are_refused(tmp_path):
    nib.Nifti1Image(GREY.astype(np.float64) * 1e300, np.eye(4)).to_filename(tmp_path / "t1.nii.gz")

    with pytest.raises(VolumeError, match="512 of 4,096 voxels that are NaN or infinite"):
        read_volume(tmp_path / "t1.nii.gz")
