"""Headers of a series are tried, and repaired where that is safe, before inference."""

from dataclasses import replace

import highdicom as hd
import numpy as np
import pydicom
import pytest

from brats_mm.domain.modality import Modality
from brats_mm.errors import VolumeError
from brats_mm.outputs.dicom.results import DicomOutput, headers_in, write_dicom
from brats_mm.outputs.dicom.trial import check_headers
from brats_mm.outputs.folder import OutputFolder
from tests.fakes.dicom_results import made_source, prediction_on, turned
from tests.fakes.dicom_series import TYPICAL

AXIAL = turned((0, 1, 2), (-1, -1, 1), spacing=(1.0, 1.0, 3.0))


@pytest.mark.parametrize("enhanced", [False, True], ids=["classic", "enhanced"])
@pytest.mark.parametrize("value", [None, "", "0"], ids=["absent", "empty", "zero"])
def test_a_series_without_slice_thickness_gets_the_distance_of_its_slices(tmp_path, value, enhanced):
    made_source(tmp_path / "series", AXIAL, enhanced=enhanced)
    for path in (tmp_path / "series").iterdir():
        image = pydicom.dcmread(path)
        holder = image.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0] if enhanced else image
        del holder.SpacingBetweenSlices
        del holder.SliceThickness
        if value is not None:
            holder.SliceThickness = value
        image.save_as(path)
    source = headers_in(tmp_path / "series")
    prediction = prediction_on(source.grid, np.ones(source.grid.shape))

    with OutputFolder(tmp_path / "out") as out:
        write_dicom(prediction, out, DicomOutput({Modality.T1CE: source}))
    made = hd.seg.segread(tmp_path / "out" / "dicom" / "segmentation.dcm")
    assert made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness == 3.0


def test_headers_that_no_object_can_be_made_of_are_refused(tmp_path):
    """Without the value: it can be a name."""
    source = made_source(tmp_path, AXIAL, facts=replace(TYPICAL["t1ce"], extra={"PatientID": "x"}))
    for image in source.images:
        del image.Rows

    with pytest.raises(VolumeError, match=r"cannot refer to series 5: .* \(AttributeError\).*leave out --dicom"):
        check_headers(source, "series 5")


@pytest.mark.parametrize("place", [0, 1, -1], ids=["first", "second", "last"])
@pytest.mark.parametrize("keyword", ["Rows", "ImagePositionPatient", "SOPInstanceUID"])
def test_the_headers_of_every_slice_are_tried(tmp_path, keyword, place):
    source = made_source(tmp_path, AXIAL)
    del source.images[place][keyword]
    with pytest.raises(VolumeError, match="cannot refer to series 5"):
        check_headers(source, "series 5")


def test_sound_headers_pass(tmp_path):
    check_headers(made_source(tmp_path, AXIAL), "series 5")
