"""Training reports damaged files as errors and never reads wrong voxels."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from brats_mm.data.checked_nifti import load_checked
from brats_mm.data.label_maps import read_label_values
from brats_mm.data.transforms import LoadSequencesd
from brats_mm.errors import VolumeError


@pytest.fixture
def volume(tmp_path):
    data = np.random.default_rng(0).integers(1, 4, (12, 11, 10)).astype(np.int16)
    path = tmp_path / "c-t1.nii.gz"
    nib.Nifti1Image(data, np.diag([2.0, 1, 1, 1])).to_filename(path)
    return path, data


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_intact_files_read_like_nibabel(kind, suffix, volume, tmp_path):
    _, data = volume
    path = tmp_path / f"a{suffix}"
    kind(data, np.eye(4)).to_filename(path)
    loaded = load_checked(path)
    assert np.array_equal(np.asanyarray(loaded.dataobj), data)
    assert np.array_equal(loaded.affine, np.eye(4))


def _flipped(content, place):
    return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]


def test_flipped_byte_or_truncation_is_an_error_or_changes_nothing(volume):
    """A flip in the time or flags of the gzip header may have no effect. No flip may change a voxel."""
    path, data = volume
    content = path.read_bytes()
    damaged = [_flipped(content, place) for place in range(0, len(content), 7)]
    damaged += [content[: len(content) * tenth // 10] for tenth in range(10)] + [content[:-8], content[:-1]]
    refused = 0
    for one in damaged:
        path.write_bytes(one)
        try:
            loaded = np.asanyarray(load_checked(path).dataobj)
        except VolumeError:
            refused += 1
        else:
            assert np.array_equal(loaded, data)
    print(f"{refused} of {len(damaged)} damaged files refused")  # noqa: T201
    assert refused >= len(damaged) - 4


def test_flipped_bit_in_stored_block_is_an_error(volume):
    """Stored (uncompressed) blocks decode with any bytes, so only the checksum detects the flip."""
    path, _ = volume
    plain = gzip.decompress(path.read_bytes())
    path.write_bytes(_flipped(gzip.compress(plain, 0), 1000))
    with pytest.raises(VolumeError, match="truncated or damaged"):
        LoadSequencesd()({"name": "c", "image": {"t1": str(path)}})
    with pytest.raises(VolumeError, match="cannot be read"):
        read_label_values(path)
