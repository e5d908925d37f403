"""Headers of a series are checked, and repaired where that is safe, before inference."""

from dataclasses import replace

import highdicom as hd
import numpy as np
import pydicom
import pytest

from brats_mm.domain.modality import Modality
from brats_mm.errors import VolumeError
from brats_mm.outputs.dicom.results import DicomOutput, read_folder_headers, write_dicom
from brats_mm.outputs.dicom.trial import check_headers
from brats_mm.outputs.folder import OutputFolder
from tests.fakes.dicom_results import made_source, prediction_on, turned
from tests.fakes.dicom_series import TYPICAL

AXIAL = turned((0, 1, 2), (-1, -1, 1), spacing=(1.0, 1.0, 3.0))


def write_results_of(folder):
    """Write the DICOM results of `folder/series`, and return their folder."""
    source = read_folder_headers(folder / "series")
    prediction = prediction_on(source.grid, np.ones(source.grid.shape))
    with OutputFolder(folder / "out") as out:
        write_dicom(prediction, out, DicomOutput({Modality.T1CE: source}))
    return folder / "out" / "dicom"


@pytest.mark.parametrize("enhanced", [False, True], ids=["classic", "enhanced"])
@pytest.mark.parametrize("value", [None, "", "0"], ids=["absent", "empty", "zero"])
def test_missing_slice_thickness_is_set_to_slice_distance(tmp_path, value, enhanced):
    made_source(tmp_path / "series", AXIAL, enhanced=enhanced)
    for path in (tmp_path / "series").iterdir():
        image = pydicom.dcmread(path)
        holder = image.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0] if enhanced else image
        del holder.SpacingBetweenSlices
        del holder.SliceThickness
        if value is not None:
            holder.SliceThickness = value
        image.save_as(path)
    result = hd.seg.segread(write_results_of(tmp_path) / "segmentation.dcm")
    assert result.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness == 3.0


@pytest.mark.parametrize("shared", ["empty", "absent"])
def test_geometry_repeated_for_each_frame_is_used(tmp_path, shared):
    """Philips stores spacing and orientation per frame. highdicom reads the shared groups."""
    made_source(tmp_path / "series", AXIAL, enhanced=True)
    (path,) = (tmp_path / "series").iterdir()
    image = pydicom.dcmread(path)
    for frame in image.PerFrameFunctionalGroupsSequence:
        frame.update(image.SharedFunctionalGroupsSequence[0])
    image.SharedFunctionalGroupsSequence = [pydicom.Dataset()]
    if shared == "absent":
        del image.SharedFunctionalGroupsSequence
    image.save_as(path)
    result = hd.seg.segread(write_results_of(tmp_path) / "segmentation.dcm")
    groups = result.SharedFunctionalGroupsSequence[0]
    assert list(groups.PixelMeasuresSequence[0].PixelSpacing) == [1.0, 1.0]
    assert list(groups.PlaneOrientationSequence[0].ImageOrientationPatient) == [1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("characters", "name"),
    [
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        ("ISO_IR 144", "Люкceмбypг"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
    ],
    ids=["Japanese", "Japanese with katakana", "Korean", "Cyrillic", "Chinese"],
)
def test_names_in_any_character_set_are_kept(tmp_path, characters, name):
    facts = replace(TYPICAL["t1ce"], extra={"SpecificCharacterSet": characters, "PatientName": name})
    made_source(tmp_path / "series", AXIAL, facts=facts)
    results = write_results_of(tmp_path)
    for result in ("segmentation.dcm", "entropy.dcm", "report.dcm"):
        written = pydicom.dcmread(results / result)
        assert (written.SpecificCharacterSet, str(written.PatientName)) == ("ISO_IR 192", name)


def test_rejects_headers_that_make_no_valid_object(tmp_path):
    """The error omits the value, which may be a name."""
    source = made_source(tmp_path, AXIAL, facts=replace(TYPICAL["t1ce"], extra={"PatientID": "x"}))
    for image in source.images:
        del image.Rows

    with pytest.raises(VolumeError, match=r"cannot refer to series 5: .* \(AttributeError\).*omit --dicom"):
        check_headers(source, "series 5")


@pytest.mark.parametrize("place", [0, 1, -1], ids=["first", "second", "last"])
@pytest.mark.parametrize("keyword", ["Rows", "ImagePositionPatient", "SOPInstanceUID"])
def test_headers_of_every_slice_are_checked(tmp_path, keyword, place):
    source = made_source(tmp_path, AXIAL)
    del source.images[place][keyword]
    with pytest.raises(VolumeError, match="cannot refer to series 5"):
        check_headers(source, "series 5")


def test_valid_headers_pass(tmp_path):
    check_headers(made_source(tmp_path, AXIAL), "series 5")
