"""The module's scene, built with 3D Slicer's core (slicer-core) from files of the command line."""

import json

import numpy as np
import pytest

from brats_mm.domain.entropy import MAX_COMPARTMENT_NATS
from brats_mm.domain.grey_window import choose_grey_window
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import SEGMENT_STYLES, LabelConvention
from brats_mm.domain.volume import Grid, Volume
from brats_mm.outputs.nifti import write_map
from brats_mm.outputs.seg_nrrd import write_segmentation
from BratsMMLib.failures import Refused
from BratsMMLib.layout import Look
from BratsMMLib.results import read_result
from BratsMMLib.scene import VIEWS, SceneBuilder
from BratsMMLib.sequences import Sequence

SHAPE = (10, 12, 14)
AFFINE = np.array([[-2.0, 0, 0, 10], [0, -2.0, 0, 20], [0, 0, 3.0, -30], [0, 0, 0, 1]])
UNCERTAIN_REGION = {
    "rank": 1,
    "region": "wt",
    "position_mm_ras": [2.0, 8.0, -9.0],
    "volume_ml": 1.0,
    "mean_entropy_nats": 0.6,
}


@pytest.fixture
def slicer():
    return pytest.importorskip("slicer", reason="slicer-core (Python 3.11 only) is not installed")


@pytest.fixture
def result(tmp_path):
    """A result folder."""
    labels, grid = np.zeros(SHAPE, np.uint8), Grid(SHAPE, AFFINE)
    for value, at in ((1, 2), (2, 5), (3, 8)):
        labels[at : at + 2, 3:8, 3:9] = value
    entropy = np.linspace(0, 1, labels.size, dtype=np.float32).reshape(SHAPE)
    write_segmentation(tmp_path / "segmentation.seg.nrrd", labels, grid, LabelConvention.BRATS2023)
    write_map(tmp_path / "entropy.nii.gz", entropy, grid, description="entropy", maximum=MAX_COMPARTMENT_NATS)
    region = {"volume_ml": 1.0, "mean_entropy_inside_nats": 0.1}
    report = {
        "sequences_found": ["t1ce", "flair"],
        "regions": dict.fromkeys(("wt", "tc", "et"), region),
        "uncertain_regions": [UNCERTAIN_REGION],
        "warnings": ["Segmented without T1, T2."],
    }
    weights = {one.value: dict.fromkeys(("wt", "tc", "et"), 0.5) for one in Sequence}
    (tmp_path / "report.json").write_text(json.dumps(report))
    (tmp_path / "importance.json").write_text(json.dumps({"weights": weights}))
    return read_result(tmp_path)


@pytest.fixture
def scene(slicer):
    """A scene with three slice views, as in Slicer's window."""
    actual = slicer.vtkMRMLScene()
    logics = [slicer.vtkMRMLColorLogic(), slicer.vtkSlicerSegmentationsModuleLogic()]
    for logic in logics:
        logic.SetMRMLScene(actual)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(actual)
    for colour in VIEWS:
        for kind in ("Slice", "SliceComposite"):
            node = getattr(slicer, f"vtkMRML{kind}Node")()
            node.SetLayoutName(colour)
            node.SetSingletonTag(colour)
            actual.AddNode(node)
    actual.kept = logics
    return actual


def inputs_of(slicer, scene):
    nodes = {}
    for sequence in (Sequence.T1CE, Sequence.FLAIR):
        nodes[sequence] = slicer.vtkMRMLScalarVolumeNode()
        nodes[sequence].SetName(sequence.label)
        scene.AddNode(nodes[sequence])
    return nodes


def test_result_nodes_have_documented_display(slicer, scene, result):
    """Window, threshold, colours, opacities and legend match in every view."""
    inputs, look = inputs_of(slicer, scene), Look()
    shown = SceneBuilder(slicer, scene).show(result, inputs)
    display = shown.entropy.GetDisplayNode()
    assert display.GetWindow() == pytest.approx(look.overlay.window)
    assert display.GetLevel() == pytest.approx(look.overlay.level)
    assert display.GetLowerThreshold() == pytest.approx(look.overlay.shown_from)
    assert (display.GetApplyThreshold(), display.GetAutoWindowLevel()) == (1, 0)
    assert display.GetColorNode().GetNumberOfColors() == 256
    assert shown.legend.GetPrimaryDisplayNode().GetID() == display.GetID()
    assert shown.legend.GetSize() == pytest.approx(look.overlay.legend_size)
    for colour in VIEWS:
        layers = scene.GetNodeByID(f"vtkMRMLSliceCompositeNode{colour}")
        assert layers.GetBackgroundVolumeID() == inputs[Sequence.FLAIR].GetID()
        assert layers.GetForegroundVolumeID() == shown.entropy.GetID()
        assert layers.GetForegroundOpacity() == pytest.approx(look.overlay.opacity)


def test_raw_scans_are_shown_registered(slicer, scene, result):
    """The header of the loaded FLAIR may place it elsewhere, but its registered copy matches the segmentation."""
    vtk = pytest.importorskip("vtk")
    inputs, grid = inputs_of(slicer, scene), Grid(SHAPE, AFFINE)
    turned = slicer.vtkMRMLLinearTransformNode()
    scene.AddNode(turned)
    inputs[Sequence.T1CE].SetAndObserveTransformNodeID(turned.GetID())
    image = np.linspace(0, 900, int(np.prod(SHAPE)), dtype=np.float32).reshape(SHAPE)
    write_map(result.folder / "registered_flair.nii.gz", image, grid, description="FLAIR", maximum=900.0)
    shown = SceneBuilder(slicer, scene).show(result, inputs)
    layers = scene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    background = scene.GetNodeByID(layers.GetBackgroundVolumeID())
    assert background.GetName() == "FLAIR, registered"
    low, high = choose_grey_window(Volume(image, grid), Modality.FLAIR)
    display = background.GetDisplayNode()
    assert display.GetAutoWindowLevel() == 0
    assert (display.GetWindow(), display.GetLevel()) == pytest.approx((high - low, (high + low) / 2), rel=1e-3)
    matrix = vtk.vtkMatrix4x4()
    background.GetIJKToRASMatrix(matrix)
    matrix_values = [[matrix.GetElement(row, column) for column in range(4)] for row in range(4)]
    np.testing.assert_allclose(matrix_values, AFFINE, atol=1e-4)
    for node in (background, shown.segmentation, shown.entropy):
        assert node.GetTransformNodeID() == turned.GetID(), "all follow the reference, which was not moved"


def test_segments_keep_names_colours_and_codes(slicer, scene, result):
    """Segments also have surfaces for the 3D view."""
    vtk = pytest.importorskip("vtk")
    node = SceneBuilder(slicer, scene).show(result, inputs_of(slicer, scene)).segmentation
    for part, style in SEGMENT_STYLES.items():
        segment = node.GetSegmentation().GetSegment(part.value)
        assert segment.GetName() == style.name
        np.testing.assert_allclose(segment.GetColor(), np.array(style.colour) / 255, atol=1e-5)
        tag = vtk.reference("")
        assert segment.GetTag("TerminologyEntry", tag)
        assert style.type.value in str(tag)
        assert segment.GetRepresentation("Closed surface").GetNumberOfPoints() > 0
    display = node.GetDisplayNode()
    assert display.GetOpacity2DFill() == pytest.approx(0)
    assert display.GetSegmentOpacity3D("ed") == pytest.approx(0.3)


def test_entropy_matches_file(slicer, scene, result):
    """Values are the same at the same positions."""
    vtk = pytest.importorskip("vtk")
    node = SceneBuilder(slicer, scene).show(result, inputs_of(slicer, scene)).entropy
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    matrix_values = [[matrix.GetElement(row, column) for column in range(4)] for row in range(4)]
    np.testing.assert_allclose(matrix_values, AFFINE, atol=1e-4)
    assert node.GetImageData().GetScalarRange()[1] == pytest.approx(1.0, abs=1e-4)


def test_panel_controls_change_nodes(slicer, scene, result):
    """Controls: opacity, threshold and legend."""
    builder = SceneBuilder(slicer, scene)
    shown = builder.show(result, inputs_of(slicer, scene))
    builder.set_opacity(0.9)
    builder.set_shown_from(shown, 0.6)
    builder.set_legend(shown, visible=False)
    assert scene.GetNodeByID("vtkMRMLSliceCompositeNodeGreen").GetForegroundOpacity() == pytest.approx(0.9)
    assert shown.entropy.GetDisplayNode().GetLowerThreshold() == pytest.approx(0.6)
    assert not shown.legend.GetVisibility()


def test_slices_go_to_first_uncertain_region(slicer, scene, result):
    """The uncertain region is also a labelled point."""
    shown = SceneBuilder(slicer, scene).show(result, inputs_of(slicer, scene))
    assert shown.places.GetNthControlPointLabel(0) == "1: WT, 1.0 mL"
    assert "not for diagnosis" in shown.note.GetText()
    assert "Warning: Segmented without T1, T2." in shown.note.GetText()
    for colour in VIEWS:
        node = scene.GetNodeByID(f"vtkMRMLSliceNode{colour}")
        matrix = node.GetSliceToRAS()
        through = np.array([matrix.GetElement(row, 2) for row in range(3)])
        origin = np.array([matrix.GetElement(row, 3) for row in range(3)])
        assert through @ (np.array(UNCERTAIN_REGION["position_mm_ras"]) - origin) == pytest.approx(0, abs=1e-6)


def test_second_run_shares_colour_nodes(slicer, scene, result):
    """All other nodes are separate."""
    builder = SceneBuilder(slicer, scene)
    first, second = (builder.show(result, inputs_of(slicer, scene)) for _ in range(2))
    assert first.entropy.GetID() != second.entropy.GetID()
    assert first.entropy.GetDisplayNode().GetColorNodeID() == second.entropy.GetDisplayNode().GetColorNodeID()


def test_damaged_file_is_reported(slicer, scene, result):
    """The message contains the file name."""
    (result.folder / "segmentation.seg.nrrd").unlink()
    with pytest.raises(Refused, match=r"segmentation.seg.nrrd"):
        SceneBuilder(slicer, scene).show(result, {})
