"""Reading DICOM files as volumes: geometry, encodings, several volumes per series, and faults."""

import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from brats_mm.domain.volume import Volume
from brats_mm.errors import CaseError, VolumeError
from brats_mm.io.dicom.one_series import read_series, read_series_folder
from brats_mm.io.dicom.scan import holds_dicom, scan, select_study
from tests.fakes.dicom_series import SeriesFacts, make_enhanced, make_slices, with_number, write_enhanced, write_series

SHAPE = (18, 14, 10)


def grey(shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3000, shape).astype(np.float64)


def oblique(angles: tuple[float, float, float], spacing: tuple[float, float, float], lean: float = 0.0) -> np.ndarray:
    """Return an RAS affine rotated by Euler angles, with its third axis sheared in the plane by `lean`."""
    turned = nib.eulerangles.euler2mat(*angles)
    affine = np.eye(4)
    affine[:3, :3] = turned * np.asarray(spacing)
    affine[:3, 2] += lean * affine[:3, 0]
    affine[:3, 3] = (-20.0, 35.5, 12.25)
    return affine


AXIAL = oblique((0, 0, 0), (-1.0, -1.5, 3.0))


def in_patient_space(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """Return the voxels and affine with axes in a fixed order, so that two storage orders of one volume are equal."""
    image = nib.as_closest_canonical(nib.Nifti1Image(volume.data, volume.grid.affine))
    return np.asarray(image.dataobj), image.affine


def rewritten(path: Path, **changes: object) -> None:
    dataset = pydicom.dcmread(path)
    for keyword, value in changes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.save_as(path)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    angles=st.tuples(*[st.floats(-3.0, 3.0) for _ in range(3)]),
    spacing=st.tuples(*[st.floats(0.4, 6.0) for _ in range(3)]),
    flips=st.tuples(*[st.sampled_from((-1.0, 1.0)) for _ in range(3)]),
    lean=st.sampled_from((0.0, 0.3)),
    is_enhanced=st.booleans(),
)
def test_oblique_volumes_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    angles: tuple[float, float, float],
    spacing: tuple[float, float, float],
    flips: tuple[float, float, float],
    lean: float,
    is_enhanced: bool,
) -> None:
    folder, data = tmp_path_factory.mktemp("series"), grey((9, 8, 10))
    affine = oblique(angles, tuple(s * f for s, f in zip(spacing, flips, strict=True)), lean)
    if is_enhanced:
        write_enhanced(folder / "image.dcm", data, affine)
    else:
        write_series(folder, data, affine)
    result = read_series_folder(folder)

    # Slices may be in the opposite order, but each voxel must keep its position.
    turned = np.linalg.inv(affine) @ result.grid.affine
    flip = turned[2, 2] < 0
    expected = data[:, :, ::-1] if flip else data
    assert np.array_equal(result.data, expected)
    back = np.diag([1.0, 1.0, -1.0 if flip else 1.0, 1.0])
    back[2, 3] = 9.0 if flip else 0.0
    assert np.allclose(result.grid.affine, affine @ back, atol=1e-3)


def test_rescale_is_applied_per_slice(tmp_path: Path) -> None:
    data = grey()
    slices = make_slices(data * 2 - 100, AXIAL, SeriesFacts(slope=2.0, intercept=-100.0))
    for index, one in enumerate(slices):
        one.RescaleSlope = 1.0 + index
        one.save_as(tmp_path / f"{index}.dcm", enforce_file_format=True)
    result = read_series_folder(tmp_path)
    factors = 1.0 + np.arange(SHAPE[2])

    assert np.allclose(result.data, data * factors - 100)


def test_rescale_is_applied_per_frame_of_enhanced_images(tmp_path: Path) -> None:
    data = grey()
    path = write_enhanced(tmp_path / "image.dcm", data, AXIAL)
    dataset = pydicom.dcmread(path)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    for index, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        value = pydicom.Dataset()
        value.RescaleSlope, value.RescaleIntercept, value.RescaleType = 0.5 + index, -7.0, "US"
        frame.PixelValueTransformationSequence = pydicom.Sequence([value])
    del shared.PixelValueTransformationSequence
    dataset.save_as(path)

    assert np.allclose(read_series_folder(tmp_path).data, data * (0.5 + np.arange(SHAPE[2])) - 7)


def test_signed_voxels_keep_sign(tmp_path: Path) -> None:
    data = grey() - 1500
    write_series(tmp_path, data, AXIAL, SeriesFacts(signed=True))

    assert np.array_equal(read_series_folder(tmp_path).data, data)


@pytest.mark.parametrize("thickness", [0, 3])
def test_slice_spacing_of_zero_is_ignored(tmp_path: Path, thickness: float) -> None:
    data = grey()
    write_series(tmp_path, data, AXIAL, SeriesFacts(extra={"SpacingBetweenSlices": 0, "SliceThickness": thickness}))

    volume = read_series_folder(tmp_path)
    assert np.array_equal(volume.data, data)
    assert np.allclose(volume.grid.affine, AXIAL)


def test_slice_spacing_of_zero_is_ignored_in_enhanced_image(tmp_path: Path) -> None:
    data = grey()
    path = write_enhanced(tmp_path / "image.dcm", data, AXIAL)
    dataset = pydicom.dcmread(path)
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SpacingBetweenSlices = measures.SliceThickness = 0
    dataset.save_as(path)

    assert np.array_equal(read_series_folder(tmp_path).data, data)


@pytest.mark.parametrize(("encoding", "syntax"), [("JPEG", JPEGLosslessSV1), ("JPEG2000", JPEG2000Lossless)])
def test_compressed_images_are_decoded(tmp_path: Path, encoding: str, syntax: str) -> None:
    """GDCM writes them losslessly, so the voxels must be equal."""
    import itk

    data = grey()
    for path in write_series(tmp_path, data, AXIAL):
        compress(path, tmp_path / "packed.tmp", getattr(itk.GDCMImageIOEnums, f"Compression_{encoding}"))

    assert {pydicom.dcmread(path).file_meta.TransferSyntaxUID for path in tmp_path.glob("*.dcm")} == {syntax}
    assert np.array_equal(read_series_folder(tmp_path).data, data)


def compress(path: Path, place: Path, kind: object) -> None:
    """Compress the voxels of a file with GDCM."""
    import itk

    slices = itk.Image[itk.US, 2]
    image = itk.image_from_array(pydicom.dcmread(path).pixel_array)
    writer_io = itk.GDCMImageIO.New()
    writer_io.SetCompressionType(kind)
    writer = itk.ImageFileWriter[slices].New(Input=image, FileName=f"{place}.dcm", ImageIO=writer_io)
    writer.UseCompressionOn()
    writer.Update()
    packed, dataset = pydicom.dcmread(f"{place}.dcm"), pydicom.dcmread(path)
    Path(f"{place}.dcm").unlink()
    dataset.file_meta.TransferSyntaxUID = packed.file_meta.TransferSyntaxUID
    dataset.PixelData = packed.PixelData
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)


def test_headers_without_value_representations_are_read(tmp_path: Path) -> None:
    data = grey()
    for path in write_series(tmp_path, data, AXIAL):
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        dataset.save_as(path, implicit_vr=True, little_endian=True)

    assert np.array_equal(read_series_folder(tmp_path).data, data)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless], ids=["RLE", "JPEG-LS"])
def test_images_that_pydicom_compresses_are_decoded(tmp_path: Path, syntax: UID) -> None:
    data = grey()
    for path in write_series(tmp_path, data, AXIAL):
        dataset = pydicom.dcmread(path)
        dataset.compress(syntax)
        dataset.save_as(path)

    assert np.array_equal(read_series_folder(tmp_path).data, data)


@pytest.mark.parametrize("enhanced", [False, True], ids=["classic", "enhanced"])
def test_big_endian_images_are_read(tmp_path: Path, enhanced: bool) -> None:
    """Retired from the standard, but present in old archives."""
    data = grey()
    actual = [make_enhanced(data, AXIAL, SeriesFacts())] if enhanced else make_slices(data, AXIAL, SeriesFacts())
    for index, one in enumerate(actual):
        one.PixelData = np.frombuffer(one.PixelData, "<u2").astype(">u2").tobytes()
        one.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        dcmwrite(tmp_path / f"{index}.dcm", one, implicit_vr=False, little_endian=False, enforce_file_format=True)

    assert np.array_equal(read_series_folder(tmp_path).data, data)


@pytest.mark.parametrize("enhanced", [False, True], ids=["classic", "enhanced"])
def test_lossy_jpeg_is_read_and_reported(tmp_path: Path, enhanced: bool) -> None:
    """With eight bits, a smooth image differs by at most two grey values."""
    i, j, k = np.indices(SHAPE)
    data = np.rint(100 + 60 * np.sin(i / 5) + 40 * np.cos(j / 4) + 5 * k)
    actual = [make_enhanced(data, AXIAL, SeriesFacts())] if enhanced else make_slices(data, AXIAL, SeriesFacts())
    for index, one in enumerate(actual):
        frames = [jpeg(frame) for frame in one.pixel_array.reshape(-1, one.Rows, one.Columns)]
        one.BitsAllocated = one.BitsStored = 8
        one.HighBit = 7
        one.PixelData = encapsulate(frames)
        one["PixelData"].VR = "OB"
        one["PixelData"].is_undefined_length = True
        one.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        one.save_as(tmp_path / f"{index}.dcm", enforce_file_format=True)
    series = select_study(scan(tmp_path)).series[0]

    assert series.remarks == ("its voxels had lossy compression",)
    assert np.abs(read_series(series).data - data).max() <= 3


def jpeg(pixels: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def test_slices_are_sorted_by_position(tmp_path: Path) -> None:
    data = grey()
    paths = write_series(tmp_path, data, AXIAL)
    for index, path in enumerate(paths):
        rewritten(path, InstanceNumber=(index * 7) % 10 + 1)
        path.rename(tmp_path / f"{(index * 3) % 10}.IMA")

    assert np.array_equal(read_series_folder(tmp_path).data, data)


def test_one_missing_slice_is_interpolated_and_reported(tmp_path: Path) -> None:
    data = grey()
    write_series(tmp_path, data, AXIAL)[4].unlink()
    series = select_study(scan(tmp_path)).series[0]
    result = read_series(series)

    assert series.remarks == ("slice 5 of 10 is missing",)
    assert not series.is_complete
    assert result.data.shape == SHAPE
    assert np.allclose(result.data[:, :, 4], (data[:, :, 3] + data[:, :, 5]) / 2)


def test_rejects_many_missing_slices(tmp_path: Path) -> None:
    paths = write_series(tmp_path, grey(), AXIAL)
    for path in paths[3:6]:
        path.unlink()

    with pytest.raises(VolumeError, match="3 of its 10 slices are missing, up to 3 in a row"):
        read_series_folder(tmp_path)


def test_rejects_uneven_slices(tmp_path: Path) -> None:
    paths = write_series(tmp_path, grey(), AXIAL)
    rewritten(paths[5], ImagePositionPatient=[20.0, -35.5, 28.6])

    with pytest.raises(VolumeError, match=r"uneven distances|deviate from a straight line"):
        read_series_folder(tmp_path)


def test_duplicate_files_count_once(tmp_path: Path) -> None:
    data = grey()
    for path in write_series(tmp_path, data, AXIAL)[:3]:
        (tmp_path / f"copy_{path.name}").write_bytes(path.read_bytes())
    series = select_study(scan(tmp_path)).series[0]

    assert series.remarks == ("3 of its files were duplicates and were ignored",)
    assert np.array_equal(read_series(series).data, data)


def test_reports_two_images_at_one_position(tmp_path: Path) -> None:
    data = grey()
    path = write_series(tmp_path, data, AXIAL)[2]
    again = pydicom.dcmread(path)
    again.SOPInstanceUID = again.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    again.InstanceNumber = 99
    again.save_as(tmp_path / "again.dcm")
    series = select_study(scan(tmp_path)).series[0]

    assert series.remarks == (
        "1 of its slices have the same position as another one, and only the first of each was used",
    )
    assert np.array_equal(read_series(series).data, data)


def test_series_with_two_echoes_is_two_volumes(tmp_path: Path) -> None:
    first, second = grey(), grey(seed=1)
    facts = SeriesFacts("PD+T2", repetition_ms=3500.0, echo_ms=14.0)
    write_series(tmp_path, first, AXIAL, facts)
    for index, one in enumerate(make_slices(second, AXIAL, replace(facts, echo_ms=98.0))):
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        one.save_as(tmp_path / f"second{index}.dcm", enforce_file_format=True)
    series = select_study(scan(tmp_path)).series

    assert [one.label[-2:] for one in series] == ["#1", "#2"]
    assert [one.verdict.kind for one in series] == ["proton density", "T2"]
    assert np.array_equal(read_series(series[1]).data, second)


def test_localiser_with_three_orientations_is_three_volumes(tmp_path: Path) -> None:
    facts = SeriesFacts("localizer", scanning_sequence="GR", echo_ms=4.0, repetition_ms=8.6)
    for index, angles in enumerate(((0, 0, 0), (0, np.pi / 2, 0), (0, 0, np.pi / 2))):
        for number, one in enumerate(make_slices(grey((18, 14, 3)), oblique(angles, (2, 2, 10)), facts)):
            one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            one.save_as(tmp_path / f"{index}{number}.dcm", enforce_file_format=True)
    series = select_study(scan(tmp_path)).series

    assert sorted(one.facts.orientation for one in series) == ["axial", "coronal", "sagittal"]
    assert {one.verdict.kind for one in series} == {"localiser"}


def test_time_points_form_one_time_series(tmp_path: Path) -> None:
    facts = SeriesFacts("dyn", scanning_sequence="GR", echo_ms=2.0, repetition_ms=5.0)
    for time in range(6):
        for index, one in enumerate(make_slices(grey((8, 8, 8), time), AXIAL, facts)):
            one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            one.TemporalPositionIdentifier = time + 1
            one.save_as(tmp_path / f"{time}{index}.dcm", enforce_file_format=True)
    (series,) = select_study(scan(tmp_path)).series

    assert (series.facts.repeats, series.verdict.modality) == (6, None)


def test_enhanced_headers_identify_the_sequence(tmp_path: Path) -> None:
    facts = SeriesFacts("WIP brain", repetition_ms=9000.0, echo_ms=90.0, inversion_ms=2500.0)
    write_enhanced(tmp_path / "image.dcm", grey(), AXIAL, facts)
    (series,) = select_study(scan(tmp_path)).series

    assert (series.facts.sop_class, series.verdict.kind) == ("enhanced MR", "FLAIR")
    assert series.facts.inversion_ms == 2500


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_missing_geometry_is_reported(tmp_path: Path, keyword: str) -> None:
    for path in write_series(tmp_path, grey(), AXIAL):
        rewritten(path, **{keyword: None})

    with pytest.raises(VolumeError, match="no slice states its position"):
        read_series_folder(tmp_path)


def test_single_slice_is_no_volume(tmp_path: Path) -> None:
    for path in write_series(tmp_path, grey(), AXIAL)[1:]:
        path.unlink()

    with pytest.raises(VolumeError, match="one slice"):
        read_series_folder(tmp_path)


def test_truncated_and_other_files_are_skipped_and_reported(tmp_path: Path) -> None:
    paths = write_series(tmp_path, grey(), AXIAL)
    paths[0].write_bytes(paths[0].read_bytes()[:-200])
    paths[9].write_bytes(paths[9].read_bytes()[:300])
    (tmp_path / "notes.txt").write_text("no DICOM")
    (tmp_path / "empty").write_bytes(b"")
    scanned = scan(tmp_path)

    assert len(scanned.studies[0].series[0].layout.slices) == 8
    reasons = " ".join(scanned.ignored)
    assert "it is truncated: it contains fewer voxels than its header states" in reasons
    assert "it is not DICOM" in reasons
    assert sum(count for count, _ in scanned.ignored.values()) == 4


def test_deflated_header_is_not_inflated(tmp_path: Path) -> None:
    path = write_series(tmp_path, grey(), AXIAL)[0]
    image = pydicom.dcmread(path)
    image.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    image.save_as(path)

    assert any("deflated" in reason for reason in scan(tmp_path).ignored)


def test_files_without_preamble_are_read(tmp_path: Path) -> None:
    data = grey()
    for path in write_series(tmp_path, data, AXIAL):
        raw = path.read_bytes()
        path.write_bytes(raw[132 + 12 + int.from_bytes(raw[140:144], "little") :])
        assert path.read_bytes()[:2] == b"\x08\x00"

    assert holds_dicom(tmp_path)
    assert len(scan(tmp_path).studies[0].series[0].layout.slices) == SHAPE[2]


def test_several_studies_need_a_choice(tmp_path: Path) -> None:
    write_series(tmp_path / "a", grey(), AXIAL, SeriesFacts(study="one"))
    write_series(tmp_path / "b", grey(), AXIAL, SeriesFacts(study="two"))
    scanned = scan(tmp_path)

    with pytest.raises(CaseError, match=r"2 studies of one patient.*--study"):
        select_study(scanned)
    label = scanned.studies[1].label
    assert select_study(scanned, label) is scanned.studies[1]
    with pytest.raises(CaseError, match="No study has a UID"):
        select_study(scanned, "nonsense")


def test_several_patients_are_reported_without_names(tmp_path: Path) -> None:
    write_series(tmp_path / "a", grey(), AXIAL, SeriesFacts(study="one", patient="Alpha"))
    write_series(tmp_path / "b", grey(), AXIAL, SeriesFacts(study="two", patient="Beta"))

    with pytest.raises(CaseError, match="2 studies of 2 patients") as reported:
        select_study(scan(tmp_path))
    assert "Alpha" not in str(reported.value)


def test_rejects_two_patients_in_one_study(tmp_path: Path) -> None:
    write_series(tmp_path, grey(), AXIAL, SeriesFacts(patient="Alpha"))
    write_series(tmp_path, grey(), AXIAL, SeriesFacts("other", number=2, patient="Beta"))

    with pytest.raises(CaseError, match="belong to 2 patients"):
        select_study(scan(tmp_path))


def test_reports_folder_without_dicom(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")

    with pytest.raises(CaseError, match="contains no DICOM image"):
        scan(tmp_path)


@pytest.mark.slow
def test_folders_with_one_series_each_are_read_in_parallel(tmp_path: Path) -> None:
    """Runs in a separate process, because ITK loads modules on first use, here in several threads at once."""
    for seed, name in enumerate(("t1", "t2", "flair")):
        write_series(tmp_path / name, grey(seed=seed), AXIAL, SeriesFacts(number=seed + 1))
    code = (
        "import sys; from pathlib import Path; from brats_mm.domain.modality import Modality as M\n"
        "from brats_mm.io.case import build_explicit_case, read_scans\n"
        "found = read_scans(build_explicit_case({m: Path(sys.argv[1], m.value) for m in (M.T1, M.T2, M.FLAIR)}))\n"
        "print(len(found.volumes))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)

    assert done.stdout.strip() == "3", done.stderr


def test_rejects_two_series_for_one_sequence(tmp_path: Path) -> None:
    write_series(tmp_path, grey(), AXIAL)
    write_series(tmp_path, grey(seed=1), AXIAL, with_number(SeriesFacts(), 2))

    with pytest.raises(VolumeError, match="holds 2 DICOM series"):
        read_series_folder(tmp_path)


def test_dicomdir_is_an_index_not_an_image(tmp_path: Path) -> None:
    from pydicom.fileset import FileSet

    index = FileSet()
    for path in write_series(tmp_path / "from", grey(), AXIAL):
        index.add(path)
    index.write(tmp_path / "disc")
    index._stage["t"].cleanup()  # pydicom leaves its staging folder to the garbage collector, which emits a warning
    scanned = scan(tmp_path / "disc")

    assert len(scanned.studies[0].series[0].layout.slices) == SHAPE[2]
    assert any("DICOMDIR" in reason for reason in scanned.ignored)
