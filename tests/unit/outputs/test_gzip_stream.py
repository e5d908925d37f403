"""Compressed voxels: standard gzip with reproducible bytes."""

import gzip
import io

import numpy as np
import pytest

from brats_mm.outputs.gzip_stream import to_fortran_bytes, write_gzip

VOXELS = np.random.default_rng(0).integers(0, 99, (5, 6, 7)).astype(np.uint16)


@pytest.mark.parametrize("order", ["C", "F"])
def test_voxels_are_written_in_fortran_order(order):
    assert bytes(to_fortran_bytes(np.asarray(VOXELS, order=order))) == VOXELS.tobytes(order="F")


def test_voxels_in_file_order_are_not_copied():
    voxels = np.asfortranarray(VOXELS)
    assert np.shares_memory(np.asarray(to_fortran_bytes(voxels)), voxels)


def test_parts_decompress_as_one_stream_without_time_stamp():
    raw = io.BytesIO()
    write_gzip(raw, b"header", memoryview(b"voxels"))
    assert gzip.decompress(raw.getvalue()) == b"headervoxels"
    assert raw.getvalue()[4:8] == b"\0\0\0\0"
