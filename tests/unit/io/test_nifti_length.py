"""NIfTI headers are checked against the length of the file, without unpacking intact files."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from brats_mm.errors import VolumeError
from brats_mm.io.volume import check_volume, read_volume


@pytest.fixture
def packed(tmp_path):
    noise = np.random.default_rng(1).integers(0, 1000, (24, 24, 24), np.int16)
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(nib.Nifti1Image(noise, np.eye(4)).to_bytes()))
    return path


def test_complete_file_passes(packed):
    check_volume(packed)


def test_truncated_file_is_reported(packed):
    packed.write_bytes(packed.read_bytes()[:-1000])
    with pytest.raises(VolumeError, match="truncated"):
        check_volume(packed)


def test_file_with_bytes_after_voxels_passes(packed):
    packed.write_bytes(gzip.compress(gzip.decompress(packed.read_bytes()) + b"more"))
    check_volume(packed)


def test_damage_with_right_length_is_detected_by_reading(packed):
    raw = bytearray(packed.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    packed.write_bytes(raw)
    check_volume(packed)
    with pytest.raises(VolumeError, match="damaged"):
        read_volume(packed)
