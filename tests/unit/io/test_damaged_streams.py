"""A damaged or truncated compressed volume is an error.

BRATS_MM_FLIPPED_EVERY sets the distance of the bytes that are flipped (default: 10).
"""

import bz2
import gzip
import os
import zlib

import nibabel as nib
import numpy as np
import pytest

from brats_mm.errors import VolumeError
from brats_mm.io.volume import read_volume
from tests.unit.io.test_hostile_headers import metaimage, nrrd

EVERY = int(os.environ.get("BRATS_MM_FLIPPED_EVERY", "10"))
SHAPE = (9, 10, 11)
GREY = np.random.default_rng(5).integers(0, 500, SHAPE).astype("<i2")


def joined(parts):
    head, end, data = parts
    return (head + end).encode() + data, len(head + end)


def nifti_gz():
    return gzip.compress(nib.Nifti1Image(GREY, np.eye(4)).to_bytes(), mtime=0), 0


def nifti_gz_with_more_behind():
    """Return a file with bytes after the voxels. Readers that stop at the last voxel skip the checksum."""
    return gzip.compress(nib.Nifti1Image(GREY, np.eye(4)).to_bytes() + bytes(5000), mtime=0), 0


def mgz():
    return gzip.compress(nib.MGHImage(GREY, np.eye(4)).to_bytes(), mtime=0), 0


KINDS = {
    "nifti": (".nii.gz", nifti_gz),
    "nifti with more behind": (".nii.gz", nifti_gz_with_more_behind),
    "mgz": (".mgz", mgz),
    "nrrd gzip": (".nrrd", lambda: joined(nrrd("gzip"))),
    "nrrd bzip2": (".nrrd", lambda: joined(nrrd("bzip2"))),
    "metaimage": (".mha", lambda: joined(metaimage(compressed=True))),
}


def without_checksum_of(kind):
    """Return the bytes of a gzip header that no checksum covers: time and operating system."""
    return range(4, 10) if kind.startswith(("nifti", "mgz", "nrrd gzip")) else range(0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", [0x01, 0x10, 0xFF])
@pytest.mark.slow
def test_flipped_byte_is_an_error(tmp_path, kind, bits):
    suffix, make = KINDS[kind]
    content, start = make()
    path = tmp_path / f"t1{suffix}"
    path.write_bytes(content)
    right = read_volume(path).data
    refused = looked_at = 0
    for at in range(start, len(content), EVERY):
        if at - start in without_checksum_of(kind):
            continue
        looked_at += 1
        damaged = bytearray(content)
        damaged[at] ^= bits
        path.write_bytes(damaged)
        try:
            volume = read_volume(path)
        except VolumeError as error:
            assert path.name in str(error)  # noqa: PT017
            refused += 1
        else:  # the padding bits in the last byte of a stream have no meaning
            np.testing.assert_array_equal(volume.data, right)
    print(f"{kind}, bits {bits:#x}: {looked_at} damaged files, {refused} refused, 0 read otherwise")  # noqa: T201
    assert looked_at - refused <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_file_is_an_error(tmp_path, kind):
    suffix, make = KINDS[kind]
    content, _ = make()
    path = tmp_path / f"t1{suffix}"
    for tenth in range(10):
        path.write_bytes(content[: len(content) * tenth // 10])
        with pytest.raises(VolumeError, match=r"t1\."):
            read_volume(path)
    path.write_bytes(content[:-1])
    with pytest.raises(VolumeError, match="truncated"):
        read_volume(path)


@pytest.mark.parametrize("share", [0.5, 2])
def test_complete_stream_of_wrong_length_is_an_error(tmp_path, share):
    """Missing voxels must not be read as zeros."""
    head, end, _ = metaimage(compressed=True)
    packed = zlib.compress(bytes(int(2 * 990 * share)))
    head = "\n".join(
        f"CompressedDataSize = {len(packed)}" if line.startswith("CompressedDataSize") else line
        for line in head.split("\n")
    )
    (tmp_path / "t1.mha").write_bytes((head + end).encode() + packed)
    for encoding, press in (("gzip", gzip.compress), ("bzip2", bz2.compress)):
        head, end, _ = nrrd(encoding)
        (tmp_path / f"{encoding}.nrrd").write_bytes((head + end).encode() + press(bytes(int(2 * 990 * share))))

    for name in ("t1.mha", "gzip.nrrd", "bzip2.nrrd"):
        with pytest.raises(VolumeError, match="less data" if share < 1 else "more data"):
            read_volume(tmp_path / name)
