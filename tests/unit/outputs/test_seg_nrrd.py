"""`.seg.nrrd`, read back by SimpleITK and, if installed, by 3D Slicer's core."""

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from brats_mm.domain.regions import SEGMENT_STYLES, LabelConvention
from brats_mm.domain.volume import Grid
from brats_mm.errors import OutputError
from brats_mm.outputs.nifti import write_labels
from brats_mm.outputs.seg_nrrd import write_segmentation

SHAPE = (9, 10, 11)
TURN = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])


def affine_of(rotation, spacing, offset):
    """Return the 4 x 4 affine from rotation, spacing and offset."""
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(rotation) * np.asarray(spacing)
    affine[:3, 3] = offset
    return affine


AFFINES = {
    "ras": affine_of(np.eye(3), (1, 1, 1), (0, 0, 0)),
    "lps": affine_of(np.diag([-1, -1, 1]), (1, 1, 1), (0, 239, 0)),
    "left handed": affine_of(np.diag([-1, 1, 1]), (0.9, 0.9, 5.5), (113, -74, -46)),
    "flipped": affine_of(np.diag([1, -1, -1]), (1, 2, 3), (10, 20, 30)),
    "oblique": affine_of(TURN, (0.5, 0.75, 2), (-30, 12.25, 7)),
    "oblique left handed": affine_of(TURN[:, ::-1], (0.5, 0.75, 2), (-30, 12.25, 7)),
    "axes swapped": affine_of(np.eye(3)[:, [2, 0, 1]], (1, 2, 3), (1, 2, 3)),
}
by_affine = pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())


def blocks(convention=LabelConvention.BRATS2023):
    """Label map with the three compartments in different corners."""
    labels = np.zeros(SHAPE, np.uint8)
    for part, corner in zip(SEGMENT_STYLES, ((0, 1, 2), (6, 1, 2), (0, 5, 7)), strict=True):
        x, y, z = corner
        labels[x : x + 2, y : y + 3, z : z + 4] = convention.value_of(part)
    return labels


@by_affine
def test_voxels_match_nifti_label_map(tmp_path, affine):
    """SimpleITK reads the same voxels at the same physical points from both files."""
    grid = Grid(SHAPE, affine)
    write_segmentation(tmp_path / "a.seg.nrrd", blocks(), grid, LabelConvention.BRATS2023)
    write_labels(tmp_path / "a.nii.gz", blocks(), grid)

    nrrd, nifti = sitk.ReadImage(str(tmp_path / "a.seg.nrrd")), sitk.ReadImage(str(tmp_path / "a.nii.gz"))

    np.testing.assert_array_equal(sitk.GetArrayFromImage(nifti), sitk.GetArrayFromImage(nrrd))
    for index in ((0, 0, 0), (8, 0, 3), (2, 9, 10)):
        expected = nifti.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(nrrd.TransformIndexToPhysicalPoint(index), expected, atol=1e-4)


@pytest.mark.parametrize(("convention", "value"), [(LabelConvention.BRATS2023, "3"), (LabelConvention.BRATS2021, "4")])
def test_fields_name_each_segment_by_convention(tmp_path, convention, value):
    """Enhancing tumour has the label value of the convention. All segments share one layer."""
    write_segmentation(tmp_path / "a.seg.nrrd", blocks(convention), Grid(SHAPE, np.eye(4)), convention)

    image = sitk.ReadImage(str(tmp_path / "a.seg.nrrd"))

    assert value == image.GetMetaData("Segment2_LabelValue")
    assert image.GetMetaData("Segment2_Name") == "Enhancing tumour"
    assert image.GetMetaData("Segment2_Extent") == "0 8 0 9 0 10"
    assert [image.GetMetaData(f"Segment{n}_Layer") for n in range(3)] == ["0", "0", "0"]
    terminology = image.GetMetaData("Segment2_Tags").split("TerminologyEntry:")[1].rstrip("|")
    assert len(terminology.split("~")) == 7
    assert terminology.split("~")[2] == "NCIt^C113842^Enhancing Lesion"


def test_same_input_gives_same_bytes(tmp_path):
    """The file holds no time stamp."""
    for name in ("a.seg.nrrd", "b.seg.nrrd"):
        write_segmentation(tmp_path / name, blocks(), Grid(SHAPE, np.eye(4)), LabelConvention.BRATS2023)

    assert (tmp_path / "a.seg.nrrd").read_bytes() == (tmp_path / "b.seg.nrrd").read_bytes()


def test_missing_folder_raises_output_error(tmp_path):
    with pytest.raises(OutputError, match="Cannot write to"):
        write_segmentation(
            tmp_path / "none" / "a.seg.nrrd", blocks(), Grid(SHAPE, np.eye(4)), LabelConvention.BRATS2023
        )


def read_with_slicer(path):
    """Read the file as Slicer's vtkSegmentation."""
    slicer = pytest.importorskip("slicer", reason="slicer-core (Python 3.11 only) is not installed")
    scene = slicer.vtkMRMLScene()
    node = slicer.vtkMRMLSegmentationNode()
    scene.AddNode(node)
    storage = slicer.vtkMRMLSegmentationStorageNode()
    scene.AddNode(storage)
    storage.SetFileName(str(path))
    assert storage.ReadData(node) == 1
    return scene, node


@by_affine
def test_slicer_reads_segments_at_their_positions(tmp_path, affine):
    """Slicer reads three segments with names, colours, values and codes, at the grid's physical points."""
    vtk = pytest.importorskip("vtk", reason="slicer-core (Python 3.11 only) is not installed")
    write_segmentation(tmp_path / "a.seg.nrrd", blocks(), Grid(SHAPE, affine), LabelConvention.BRATS2023)
    scene, node = read_with_slicer(tmp_path / "a.seg.nrrd")
    segmentation = node.GetSegmentation()

    assert segmentation.GetNumberOfSegments() == 3
    assert segmentation.GetNumberOfLayers() == 1
    assert segmentation.GetSourceRepresentationName() == "Binary labelmap"
    for number, (part, style) in enumerate(SEGMENT_STYLES.items()):
        segment = segmentation.GetNthSegment(number)
        value = LabelConvention.BRATS2023.value_of(part)
        assert (style.name, value) == (segment.GetName(), segment.GetLabelValue())
        np.testing.assert_allclose(segment.GetColor(), np.array(style.colour) / 255, atol=1e-5)
        tag = vtk.reference("")
        assert segment.GetTag("TerminologyEntry", tag)
        assert f"{style.type.scheme}^{style.type.value}^{style.type.meaning}" == str(tag).split("~")[2]
        expected = np.argwhere(blocks() == value) @ affine[:3, :3].T + affine[:3, 3]
        result = points_of(segment.GetRepresentation("Binary labelmap"), value, vtk)
        np.testing.assert_allclose(sorted_points(result), sorted_points(expected), atol=1e-3)
    assert scene is not None


def points_of(image, value, vtk):
    """Return the world points of the voxels with a value, in RAS."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    first = np.array(image.GetExtent())[::2]
    voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions(), order="F")
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    to_world = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
    return (np.argwhere(voxels == value) + first) @ to_world[:3, :3].T + to_world[:3, 3]


def sorted_points(points):
    """Sort points for comparison."""
    rounded = np.round(points, 3)
    return points[np.lexsort(rounded.T)]
