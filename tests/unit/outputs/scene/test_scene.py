"""`scene.mrb`: a valid, anonymous zip with a scene that 3D Slicer's core opens correctly."""

import io
import json
import re
import zipfile

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from brats_mm.domain.case import Case
from brats_mm.domain.label_map import extract_regions
from brats_mm.domain.modality import Modality
from brats_mm.domain.prediction import Importance, ModelIdentity, Prediction, Run
from brats_mm.domain.regions import REGIONS, SEGMENT_STYLES, Compartment, LabelConvention
from brats_mm.domain.volume import Grid, Volume
from brats_mm.errors import OutputError
from brats_mm.outputs.scene.data import build_colour_table
from brats_mm.outputs.scene.write import FOLDER, write_scene

SHAPE = (20, 24, 18)
TURN = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
UNCERTAIN_REGION = {
    "rank": 1,
    "region": "tc",
    "position_mm_ras": [3.0, -4.0, 5.0],
    "volume_ml": 2.25,
    "mean_entropy_nats": 0.65,
    "peak_entropy_nats": 0.69,
}
AFFINES = {
    "lps": nib.affines.from_matvec(np.diag([-2.0, -2.0, 2.0]), (10, 20, -30)),
    "oblique": nib.affines.from_matvec(TURN * (1.0, 1.5, 2.0), (-30, 12.25, 7)),
    "left handed": nib.affines.from_matvec(np.diag([-1.0, 1.0, 3.0]), (5, -7, 9)),
}


def prediction_of(affine, available=(Modality.T1CE, Modality.FLAIR)):
    """Return a prediction of nested balls with soft edges, on images of integers and of fractions."""
    centre = np.array([12, 8, 9]).reshape(3, 1, 1, 1)
    away = np.linalg.norm(np.indices(SHAPE) - centre, axis=0)
    labels = np.select([away < 2, away < 4, away < 6], [1, 3, 2], 0).astype(np.uint8)
    regions = extract_regions(labels, LabelConvention.BRATS2023)
    grid = Grid(SHAPE, affine)
    head = (np.indices(SHAPE).sum(axis=0) % 50 + 100).astype(np.float32)
    head[:2] = 0
    volumes = {
        m: Volume(head * (0.5 if m is Modality.T1CE else 1) + 0.25 * (m is Modality.T1CE), grid) for m in available
    }
    return Prediction(
        case=Case("Mrs Example", volumes, grid),
        probabilities={r: ndimage.gaussian_filter(mask.astype(np.float32), 0.7) for r, mask in regions.items()},
        importance=Importance({m: dict.fromkeys(REGIONS, 0.5) for m in Modality}),
        model=ModelIdentity("model", "1.0", "ab" * 32, 10),
        run=Run("cpu", "torch", (8, 8, 8), 1, {}),
        warnings=("A warning.",),
    )


def written(folder, affine=AFFINES["lps"], areas=(UNCERTAIN_REGION,), **changes):
    path = folder / "scene.mrb"
    prediction = prediction_of(affine, **changes)
    write_scene(path, prediction, LabelConvention.BRATS2023, areas)
    return path, prediction


def test_zip_is_valid_and_has_one_folder(tmp_path):
    """Every file unpacks with its checksum, under one folder, by relative names."""
    path, _ = written(tmp_path)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {name.split("/")[0] for name in archive.namelist()} == {FOLDER}
        assert f"{FOLDER}/{FOLDER}.mrml" in archive.namelist()


def test_same_input_gives_same_bytes(tmp_path):
    """The file holds no time stamps."""
    first = written(tmp_path)[0].read_bytes()
    assert written(tmp_path)[0].read_bytes() == first


def test_scene_does_not_identify_patient(tmp_path):
    """No case name, no absolute path, no input file name."""
    path, _ = written(tmp_path)
    with zipfile.ZipFile(path) as archive:
        scene = archive.read(f"{FOLDER}/{FOLDER}.mrml").decode()
        heads = b"".join(archive.read(name)[:900] for name in archive.namelist())
    assert "Example" not in scene
    assert b"Example" not in heads
    assert re.findall(r'fileName="([^"]*)"', scene)
    assert all(name.startswith("Data/") for name in re.findall(r'fileName="([^"]*)"', scene))
    assert str(tmp_path) not in scene
    assert re.search(
        r'<MRML version="Slicer \d+\.\d+\.\d+ \d+"', scene
    )  # Slicer needs it to assign the file to its node


def test_zip_holds_exactly_the_files_of_the_scene(tmp_path):
    path, _ = written(tmp_path)
    with zipfile.ZipFile(path) as archive:
        named = re.findall(r'fileName="([^"]*)"', archive.read(f"{FOLDER}/{FOLDER}.mrml").decode())
        assert {f"{FOLDER}/{name}" for name in named} == set(archive.namelist()) - {f"{FOLDER}/{FOLDER}.mrml"}


def test_every_node_reference_resolves(tmp_path):
    """Except for the grey colours, which Slicer provides."""
    path, _ = written(tmp_path)
    with zipfile.ZipFile(path) as archive:
        scene = archive.read(f"{FOLDER}/{FOLDER}.mrml").decode()
    ids = set(re.findall(r' id="([^"]+)"', scene)) | {"vtkMRMLColorTableNodeGrey"}
    referred = [one for roles in re.findall(r'references="([^"]+)"', scene) for one in re.findall(r"vtk\w+", roles)]
    assert referred
    assert set(referred) <= ids


def test_colour_table_holds_entropy_colours():
    """256 rows, from nearly black to pale cyan."""
    rows = [line.split() for line in build_colour_table().decode().splitlines() if not line.startswith("#")]
    assert len(rows) == 256
    assert rows[0][2:] == ["6", "5", "12", "255"]
    assert rows[255][2:] == ["134", "242", "254", "255"]


def test_missing_folder_raises_output_error(tmp_path):
    with pytest.raises(OutputError, match="Cannot write to"):
        write_scene(tmp_path / "none" / "a.mrb", prediction_of(AFFINES["lps"]), LabelConvention.BRATS2023, ())


def loaded(path, cache):
    """Return the scene as 3D Slicer's core reads it."""
    slicer = pytest.importorskip("slicer", reason="slicer-core (Python 3.11 only) is not installed")
    scene = slicer.vtkMRMLScene()
    scene.AddNode(slicer.vtkMRMLSelectionNode())
    scene.AddNode(slicer.vtkMRMLInteractionNode())
    remote, colours = slicer.vtkMRMLRemoteIOLogic(), slicer.vtkMRMLColorLogic()
    remote.SetMRMLScene(scene)
    remote.GetCacheManager().SetRemoteCacheDirectory(str(cache))
    scene.SetCacheManager(remote.GetCacheManager())
    scene.SetDataIOManager(remote.GetDataIOManager())
    segments, markups = slicer.vtkSlicerSegmentationsModuleLogic(), slicer.vtkSlicerMarkupsLogic()
    terms = slicer.vtkSlicerTerminologiesModuleLogic()
    for logic in (colours, terms, segments, markups):
        logic.SetMRMLScene(scene)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
    messages = slicer.vtkMRMLMessageCollection()
    assert scene.ReadFromMRB(str(path), False, messages), messages.GetAllMessagesAsString()
    assert messages.GetNumberOfMessages() == 0, messages.GetAllMessagesAsString()
    scene.kept = (remote, colours, terms, segments, markups)
    return scene


def array_of(node):
    from vtkmodules.util.numpy_support import vtk_to_numpy

    image = node.GetImageData()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions(), order="F")


def to_ras(node):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def on_grid(scene, name, affine):
    """Return the values of a volume at the points of a grid. Slicer flips the voxels of left-handed volumes when it
    reads them.
    """
    node = scene.GetFirstNodeByName(name)
    index = np.indices(SHAPE).reshape(3, -1)
    voxel = np.linalg.inv(to_ras(node)) @ affine @ np.vstack([index, np.ones(index.shape[1])])
    np.testing.assert_allclose(voxel, np.rint(voxel), atol=1e-3)
    return array_of(node)[tuple(np.rint(voxel[:3]).astype(int))].reshape(SHAPE)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_slicer_reads_images_and_uncertainty_at_their_positions(tmp_path, affine):
    """Values and geometry are preserved for integers and fractions."""
    path, prediction = written(tmp_path, affine)
    scene = loaded(path, tmp_path)
    for modality, volume in prediction.case.volumes.items():
        np.testing.assert_array_equal(on_grid(scene, modality.label, affine), volume.data)
    values = on_grid(scene, "Uncertainty (nats)", affine)
    np.testing.assert_allclose(values, prediction.combined_entropy(), atol=0.0006)


def test_slicer_shows_uncertainty_with_window_colours_and_legend(tmp_path):
    """Window 0 to ln 4, 256 perceptual colours, certain voxels hidden, a legend, over the FLAIR in all three views."""
    path, _ = written(tmp_path)
    scene = loaded(path, tmp_path)
    entropy, flair = scene.GetFirstNodeByName("Uncertainty (nats)"), scene.GetFirstNodeByName("FLAIR")
    display = entropy.GetDisplayNode()
    assert display.GetClassName() == "vtkMRMLScalarVolumeDisplayNode"
    assert (display.GetAutoWindowLevel(), display.GetApplyThreshold()) == (0, 1)
    assert display.GetWindow() == pytest.approx(np.log(4))
    assert display.GetLevel() == pytest.approx(np.log(4) / 2)
    assert display.GetLowerThreshold() == pytest.approx(0.2)
    assert display.GetUpperThreshold() > np.log(4)
    assert display.GetColorNode().GetNumberOfColors() == 256
    assert display.GetColorNode().GetName() == "Uncertainty colours"
    legend = scene.GetFirstNodeByName("Colour legend")
    assert legend.GetPrimaryDisplayNode().GetID() == display.GetID()
    assert legend.GetColorNode().GetID() == display.GetColorNode().GetID()
    for colour in ("Red", "Green", "Yellow"):
        layers = scene.GetNodeByID(f"vtkMRMLSliceCompositeNode{colour}")
        assert layers.GetBackgroundVolumeID() == flair.GetID()
        assert layers.GetForegroundVolumeID() == entropy.GetID()
        assert layers.GetForegroundOpacity() == pytest.approx(0.5)


def test_slicer_has_segments_with_names_colours_codes_and_surfaces(tmp_path):
    """As in the `.seg.nrrd`: outlines without a fill, and closed surfaces for the 3D view."""
    path, prediction = written(tmp_path)
    scene = loaded(path, tmp_path)
    import vtk

    node = scene.GetFirstNodeByName("Tumour segmentation")
    segmentation, display = node.GetSegmentation(), node.GetDisplayNode()
    assert segmentation.GetNumberOfSegments() == 3
    for part, style in SEGMENT_STYLES.items():
        segment = segmentation.GetSegment(part.value)
        assert segment.GetName() == style.name
        np.testing.assert_allclose(segment.GetColor(), np.array(style.colour) / 255, atol=1e-5)
        tag = vtk.reference("")
        assert segment.GetTag("TerminologyEntry", tag)
        assert style.type.value in str(tag)
        assert segment.GetRepresentation("Closed surface").GetNumberOfPoints() > 0
        assert display.GetSegmentVisibility2DOutline(part.value)
    assert display.GetOpacity2DFill() == pytest.approx(0.0)
    assert display.GetOpacity2DOutline() == pytest.approx(1.0)
    assert display.GetSegmentOpacity3D(Compartment.OEDEMA.value) == pytest.approx(0.3)
    assert prediction.labels().max() == 3


def test_slicer_has_uncertain_regions_note_and_slices_at_first_region(tmp_path):
    """The slices go through the most uncertain region. The note holds the disclaimer and the sequences."""
    path, _ = written(tmp_path)
    scene = loaded(path, tmp_path)
    places = scene.GetFirstNodeByName("Regions to review")
    assert places.GetNumberOfControlPoints() == 1
    assert places.GetNthControlPointLabel(0) == "1: TC, 2.3 mL"
    np.testing.assert_allclose(places.GetNthControlPointPositionWorld(0), UNCERTAIN_REGION["position_mm_ras"])
    note = scene.GetFirstNodeByName("Read this first").GetText()
    assert "not for diagnosis" in note
    assert "Sequences used: T1ce, FLAIR. Missing: T1, T2." in note
    assert "Warning: A warning." in note
    assert re.search(r"Tumour core: \d+\.\d mL, .*expected Dice \d+ %, \w+: .+\.", note)
    for colour, axis in {"Red": 2, "Green": 1, "Yellow": 0}.items():
        node = scene.GetNodeByID(f"vtkMRMLSliceNode{colour}")
        assert node.GetSliceToRAS().GetElement(axis, 3) == pytest.approx(UNCERTAIN_REGION["position_mm_ras"][axis])


def test_views_use_slicer_orientation_presets(tmp_path):
    """By name and by the preset of that name. Slicer calls a view with a rotated or mirrored plane "Reformat"."""
    path, _ = written(tmp_path)
    scene = loaded(path, tmp_path)
    for colour, orientation in {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}.items():
        node = scene.GetNodeByID(f"vtkMRMLSliceNode{colour}")
        assert node.GetOrientation() == orientation
        preset, own = node.GetSliceOrientationPreset(orientation), node.GetSliceToRAS()
        elements = [(row, column) for row in range(3) for column in range(3)]
        assert [own.GetElement(*at) for at in elements] == [preset.GetElement(*at) for at in elements]


def test_slicer_opens_case_without_uncertain_regions_and_with_one_sequence(tmp_path):
    """The slices then go through the tumour, on the only sequence."""
    path, prediction = written(tmp_path, areas=(), available=(Modality.T1,))
    scene = loaded(path, tmp_path)
    assert scene.GetFirstNodeByName("Regions to review") is None
    layers = scene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    assert scene.GetNodeByID(layers.GetBackgroundVolumeID()).GetName() == "T1"
    at = [
        scene.GetNodeByID(f"vtkMRMLSliceNode{colour}").GetSliceToRAS().GetElement(axis, 3)
        for axis, colour in enumerate(("Yellow", "Green", "Red"))
    ]
    voxel = np.linalg.inv(prediction.case.grid.affine) @ [*at, 1]
    np.testing.assert_allclose(voxel[:3], (12, 8, 9), atol=1)


def test_uncertain_regions_are_in_patient_coordinates(tmp_path):
    """In right, anterior, superior coordinates, as in the report."""
    path, _ = written(tmp_path)
    with zipfile.ZipFile(path) as archive, archive.open(f"{FOLDER}/Data/UncertainPlaces.mrk.json") as raw:
        markup = json.load(io.TextIOWrapper(raw))["markups"][0]
    assert (markup["coordinateSystem"], markup["controlPoints"][0]["position"]) == ("RAS", [3.0, -4.0, 5.0])
