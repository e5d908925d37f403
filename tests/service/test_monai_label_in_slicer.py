"""3D Slicer's code (slicer-core, Python 3.11) reads the label maps for viewers."""

import numpy as np
import pytest

from brats_mm.domain.volume import Grid
from brats_mm_service.monai_label.auto3dseg import render_label_table
from brats_mm_service.viewer.label_files import LabelForm, ViewerModel, encode_nrrd

SHAPE = (8, 9, 10)
AFFINE = np.array([[-2, 0, 0, 10], [0, -2, 0, 20], [0, 0, 2, 30], [0, 0, 0, 1]], np.float64)


@pytest.fixture
def slicer():
    return pytest.importorskip("slicer", reason="slicer-core (Python 3.11 only) is not installed")


def answer(folder, present):
    """Return a response as a file, with a slab of voxels for each present value."""
    labels = np.zeros(SHAPE, np.uint8)
    for value in present:
        labels[1:7, 1:7, 2 * value : 2 * value + 1 + value] = value
    place = folder / "output-segmentation.nrrd"
    place.write_bytes(encode_nrrd(labels, Grid(SHAPE, AFFINE), LabelForm(".nrrd")))
    return place, labels


def voxels(slicer, node, segment):
    """Return the number of voxels of a segment."""
    image = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(segment, image)
    scalars = image.GetPointData().GetScalars()
    return sum(1 for index in range(scalars.GetNumberOfTuples()) if scalars.GetTuple1(index))


@pytest.mark.parametrize("present", [(1, 2, 3), (1, 3), (3,), (2,)])
def test_each_segment_has_its_voxels_when_others_are_absent(slicer, tmp_path, present):
    """The MONAI Label module passes all names in order. Slicer assigns them to the values from 1."""
    vtk = pytest.importorskip("vtk")
    place, labels = answer(tmp_path, present)
    scene, logic = slicer.vtkMRMLScene(), slicer.vtkSlicerSegmentationsModuleLogic()
    logic.SetMRMLScene(scene)  # registers the conversions
    label_map, storage = slicer.vtkMRMLLabelMapVolumeNode(), slicer.vtkMRMLVolumeArchetypeStorageNode()
    node = slicer.vtkMRMLSegmentationNode()
    for one in (label_map, storage, node):
        scene.AddNode(one)
    storage.SetFileName(str(place))
    assert storage.ReadData(label_map) == 1
    names = vtk.vtkStringArray()
    for name in ViewerModel.SEGMENTATION.labels:
        names.InsertNextValue(name)
        node.GetSegmentation().AddEmptySegment(name, name)
    assert logic.ImportLabelmapToSegmentationNode(label_map, node, names)
    for name, value in ViewerModel.SEGMENTATION.labels.items():
        expected = np.count_nonzero(labels == value)
        assert (voxels(slicer, node, name) if expected else 0) == expected


def test_auto3dseg_module_names_segments_by_descriptions(slicer, tmp_path):
    """The module creates a colour table from the CSV file, and reads the response with it."""
    place, labels = answer(tmp_path, (1, 3))
    rows = [line.split(",")[:2] for line in render_label_table().decode().splitlines()[1:]]
    scene = slicer.vtkMRMLScene()
    table, node, storage = (
        slicer.vtkMRMLColorTableNode(),
        slicer.vtkMRMLSegmentationNode(),
        slicer.vtkMRMLSegmentationStorageNode(),
    )
    table.SetTypeToUser()
    table.SetNumberOfColors(4)
    for value, name in rows:
        table.SetColor(int(value), 0.1 * int(value), 0.5, 0.5, 1.0)
        table.SetColorName(int(value), name)
    for one in (table, node, storage):
        scene.AddNode(one)
    node.SetLabelmapConversionColorTableNodeID(table.GetID())
    storage.SetFileName(str(place))
    assert storage.ReadData(node) == 1
    segmentation = node.GetSegmentation()
    names = [segmentation.GetNthSegment(number).GetName() for number in range(segmentation.GetNumberOfSegments())]
    assert names == [rows[0][1], rows[2][1]]
    assert [voxels(slicer, node, segmentation.GetNthSegmentID(number)) for number in range(2)] == [
        np.count_nonzero(labels == value) for value in (1, 3)
    ]
