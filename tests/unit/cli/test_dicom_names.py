"""Patient names in broken headers do not reach warnings or logs."""

import logging
import traceback
import warnings
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from brats_mm.cli.main import main
from brats_mm.data.phantom.head import make_phantom
from brats_mm.domain.modality import Modality
from brats_mm.errors import VolumeError
from brats_mm.io.dicom.header import read_header
from brats_mm.io.dicom.suppress_warnings import suppress_warnings
from brats_mm.outputs.dicom.results import DicomOutput, read_folder_headers, write_dicom
from brats_mm.outputs.folder import OutputFolder
from tests.fakes.dicom_results import prediction_on
from tests.fakes.dicom_series import TYPICAL, write_series

NAME = "Zwackelmann"
# Elements as (tag, VR, value bytes), each with a value that its VR does not allow.
BROKEN = {
    "a name for a birth date": (b"\x10\x00\x30\x00", b"DA", b"Zwackelmann "),
    "a name for an age": (b"\x10\x00\x10\x10", b"AS", b"Zwackelmann "),
    "a name for a weight": (b"\x10\x00\x30\x10", b"DS", b"Zwackelmann "),
    "a name for a UID": (b"\x08\x00\x55\x11", b"UI", b"Zwackelmann "),
    "a long name": (b"\x10\x00\x10\x00", b"PN", b"Zwackelmann^" * 9),
    "an unknown way of writing": (b"\x08\x00\x05\x00", b"CS", b"Zwackelmann "),
    "too many components": (b"\x10\x00\x10\x00", b"PN", b"Zwackelmann=A=B=C=D "),
    "a date of the study": (b"\x08\x00\x20\x00", b"DA", b"Zwackelmann "),
    "a number of the study": (b"\x20\x00\x10\x00", b"SH", b"Zwackelmann Zwackelmann "),
    "a sex": (b"\x10\x00\x40\x00", b"CS", b"Zwackelmann, Petronella "),
}


def corrupt(path, tag, vr, value):
    """Write an element into a file as raw bytes, replacing an element with the same tag."""
    dataset = pydicom.dcmread(path)
    number = pydicom.tag.Tag(int.from_bytes(tag[:2], "little"), int.from_bytes(tag[2:], "little"))
    dataset[number] = pydicom.dataelem.RawDataElement(
        number, vr.decode(), len(value), value, 0, is_implicit_VR=False, is_little_endian=True
    )
    dataset.save_as(path)


def spoilt_series(folder, what):
    """Return a small series whose headers are all broken in one way, and its voxels."""
    facts = replace(TYPICAL["t1ce"], extra={"PatientName": f"{NAME}^Petronella"})
    data = np.random.default_rng(0).integers(1, 999, (12, 10, 8))
    with suppress_warnings():
        for path in write_series(folder, data, np.diag([-1.0, -1.0, 3.0, 1.0]), facts):
            corrupt(path, *what)
    return data


@pytest.mark.parametrize("deidentify", [False, True], ids=["with identity", "without"])
@pytest.mark.parametrize("what", BROKEN.values(), ids=BROKEN)
def test_objects_from_broken_header_log_nothing(tmp_path, what, deidentify, caplog, capfd, recwarn):
    caplog.set_level(logging.DEBUG)
    data = spoilt_series(tmp_path / "series", what)
    source = read_folder_headers(tmp_path / "series")
    requested = DicomOutput(inputs={Modality.T1CE: source}, deidentify=deidentify)
    with OutputFolder(tmp_path / "out") as out:
        write_dicom(prediction_on(source.grid, data, (Modality.T1CE,)), out, requested)
    message = capfd.readouterr()
    assert NAME not in message.out + message.err + caplog.text
    assert not [one for one in recwarn if NAME in str(one.message)]
    with suppress_warnings():
        objects = [str(pydicom.dcmread(path)) for path in (tmp_path / "out").rglob("*.dcm")]
    assert len(objects) == 3
    if deidentify:
        assert not any(NAME in one for one in objects)


def test_error_messages_of_dicom_writers_are_not_shown(tmp_path, monkeypatch):
    def refuse(*_):
        raise ValueError(f"{NAME} is no value")

    data = spoilt_series(tmp_path / "series", BROKEN["a sex"])
    source = read_folder_headers(tmp_path / "series")
    monkeypatch.setattr("brats_mm.outputs.dicom.segmentation_object.make_segmentation", refuse)
    requested = DicomOutput(inputs={Modality.T1CE: source})
    with (
        pytest.raises(VolumeError, match="DICOM results cannot be created") as caught,
        OutputFolder(tmp_path / "o") as out,
    ):
        write_dicom(prediction_on(source.grid, data, (Modality.T1CE,)), out, requested)
    assert NAME not in "".join(traceback.format_exception(caught.value))


def test_inspect_and_segment_print_and_write_no_name(tiny_bundle, tmp_path, capfd, caplog, recwarn):
    caplog.set_level(logging.DEBUG)
    for modality, volume in make_phantom(3, (48, 48, 48)).images.items():
        if modality.value in ("t1ce", "flair"):
            write_series(
                tmp_path / "study" / modality.value,
                np.clip(volume.data, 0, 4000),
                volume.grid.affine,
                replace(TYPICAL[modality.value], extra={"PatientName": f"{NAME}^Petronella"}),
            )
    with suppress_warnings():
        for path in tmp_path.rglob("*.dcm"):
            for what in BROKEN.values():
                corrupt(path, *what)
    assert main(["inspect", str(tmp_path / "study")]) == 0
    arguments = ["--bundle", str(tiny_bundle), "--window", "64", "--device", "cpu", "--prepared", "--dicom", "--report"]
    assert main(["segment", str(tmp_path / "study"), "-o", str(tmp_path / "out"), *arguments]) == 0
    message = capfd.readouterr()
    for text in (message.out, message.err, caplog.text, *(str(one.message) for one in recwarn)):
        assert NAME not in text
    for path in (path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.suffix != ".dcm"):
        assert NAME.encode() not in path.read_bytes(), path.name


def test_suppression_ends_with_last_nested_block(tmp_path):
    log = logging.getLogger("pydicom")
    before = log.level
    with suppress_warnings():
        with suppress_warnings():
            assert not log.isEnabledFor(logging.ERROR)
        assert not log.isEnabledFor(logging.ERROR)
    assert log.level == before
    with pytest.warns(UserWarning, match="heard again"):
        warnings.warn("heard again", UserWarning, stacklevel=1)


def test_broken_header_is_read_without_log(tmp_path, recwarn):
    (path,) = write_series(tmp_path, np.ones((8, 8, 1)), np.diag([-1.0, -1, 5, 1]))
    with suppress_warnings():
        corrupt(path, *BROKEN["a name for a birth date"])
    read_header(path)
    assert not recwarn.list
