"""Messages about a zip name the zip, not the temporary folder of its files."""

import zipfile

import pytest

from brats_mm.errors import InputError
from brats_mm.pipeline.inspect import inspect_input
from brats_mm.pipeline.load import load
from brats_mm.pipeline.request import make_request


@pytest.mark.parametrize("read", [inspect_input, lambda path: load(make_request(path, path.parent / "out"))])
@pytest.mark.parametrize(
    "names",
    [(), ("t1.nii.gz", "t1_b.nii.gz"), ("a/t1.nii", "a/t2.nii", "b/t1.nii", "b/t2.nii"), ("x_seg.nii",), ("T1-C.nii",)],
    ids=["empty", "two files", "two cases", "label map", "ambiguous"],
)
def test_message_names_zip(tmp_path, read, names):
    path = tmp_path / "patient 7.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for name in names:
            packed.writestr(name, b"x")

    with pytest.raises(InputError) as caught:
        read(path)

    assert str(path) in str(caught.value)
    assert "brats-mm-" not in str(caught.value)
    assert "unpacked" not in str(caught.value)
