"""Export an edited segmentation with 3D Slicer's core, and submit it to a service."""

import json
from contextlib import contextmanager

import nibabel as nib
import numpy as np
import pytest

from brats_mm.domain.regions import LabelConvention
from brats_mm.domain.volume import Grid
from brats_mm.io.volume import read_stored
from brats_mm.learning.label_map import find_values_by_name, read_correction
from brats_mm.outputs.nifti import write_map
from brats_mm.outputs.seg_nrrd import write_segmentation
from BratsMMLib.correction import LABEL_FILE, SEGMENTS, Submission, export_labels, outcome
from BratsMMLib.failures import NotAllowed, Refused
from BratsMMLib.running import Done, Run, Stop
from BratsMMLib.sequences import Sequence
from BratsMMLib.service import Place, ServiceRunner
from tests.fakes.serving import serving, small_settings
from tests.fakes.viewer_results import make_results

SHAPE = (10, 12, 14)
AFFINE = np.array([[-2.0, 0, 0, 10], [0, -2.0, 0, 20], [0, 0, 3.0, -30], [0, 0, 0, 1]])


@pytest.fixture
def slicer():
    return pytest.importorskip("slicer", reason="slicer-core (Python 3.11 only) is not installed")


@pytest.fixture
def edited(slicer, tmp_path):
    """A scene with a segmentation, its entropy, and the label map that it was read from."""
    labels, grid = np.zeros(SHAPE, np.uint8), Grid(SHAPE, AFFINE)
    for value, at in ((1, 2), (2, 5), (3, 8)):
        labels[at : at + 2, 3:8, 3:9] = value
    write_segmentation(tmp_path / "segmentation.seg.nrrd", labels, grid, LabelConvention.BRATS2023)
    write_map(tmp_path / "entropy.nii.gz", np.zeros(SHAPE, np.float32), grid, description="entropy", maximum=1.0)
    scene = slicer.vtkMRMLScene()
    scene.kept = slicer.vtkSlicerSegmentationsModuleLogic()
    scene.kept.SetMRMLScene(scene)
    nodes = {}
    for name, kind, storage in (
        ("segmentation.seg.nrrd", "Segmentation", "Segmentation"),
        ("entropy.nii.gz", "ScalarVolume", "VolumeArchetype"),
    ):
        nodes[name] = scene.AddNode(getattr(slicer, f"vtkMRML{kind}Node")())
        reader = scene.AddNode(getattr(slicer, f"vtkMRML{storage}StorageNode")())
        reader.SetFileName(str(tmp_path / name))
        assert reader.ReadData(nodes[name])
    return scene, nodes["segmentation.seg.nrrd"], nodes["entropy.nii.gz"], labels


def exported(slicer, edited, path):
    scene, segmentation, entropy, _ = edited
    before = scene.GetNumberOfNodes()
    export_labels(slicer, scene, segmentation, entropy, path)
    assert scene.GetNumberOfNodes() == before, "the export leaves no node"
    names = find_values_by_name([{"name": name, "idx": value} for value, name in enumerate(SEGMENTS, start=1)])
    return read_correction(path, Grid(SHAPE, AFFINE), names)


def test_segments_are_exported_on_result_grid(slicer, edited, tmp_path):
    np.testing.assert_array_equal(exported(slicer, edited, tmp_path / LABEL_FILE), edited[3])
    np.testing.assert_allclose(read_stored(tmp_path / LABEL_FILE).grid.affine, AFFINE, atol=1e-6)


def test_edited_segment_is_exported_with_edits(slicer, edited, tmp_path):
    """Segments are cropped to their extent, and one of them is removed."""
    edited[1].GetSegmentation().RemoveSegment("ncr")
    expected = np.where(edited[3] == 1, 0, edited[3])
    np.testing.assert_array_equal(exported(slicer, edited, tmp_path / LABEL_FILE), expected)


def test_transformed_result_is_exported_without_transform(slicer, edited, tmp_path):
    """Segmentation and entropy follow the transform of the reference. The service knows only the grid without it."""
    scene, segmentation, entropy, _ = edited
    moved = slicer.vtkMRMLLinearTransformNode()
    scene.AddNode(moved)
    matrix = moved.GetMatrixTransformToParent()
    matrix.SetElement(0, 3, 40.0)
    moved.SetMatrixTransformToParent(matrix)
    for node in (segmentation, entropy):
        node.SetAndObserveTransformNodeID(moved.GetID())
    np.testing.assert_array_equal(exported(slicer, edited, tmp_path / LABEL_FILE), edited[3])


def test_rejects_added_segment_by_name(slicer, edited, tmp_path):
    edited[1].GetSegmentation().AddEmptySegment("Segment_1", "Cyst")
    with pytest.raises(Refused, match="“Cyst” is not part of the result"):
        export_labels(slicer, *edited[:3], tmp_path / LABEL_FILE)


@pytest.mark.slow
def test_kept_job_accepts_correction_from_module(made_head, tmp_path):
    """Run with the images kept, then submit: the service scores the result and names the author."""
    image = nib.load(made_head / "BraTS-GLI-00000-000-t1c.nii.gz")
    results = make_results(tmp_path / "results", image.affine)
    (results / "segmentation.seg.nrrd").write_bytes(b"for the module")
    inputs = {Sequence.T1CE: made_head / "BraTS-GLI-00000-000-t1c.nii.gz"}
    folder = tmp_path / "out"
    folder.mkdir()
    with serving(small_settings(tmp_path / "data"), behaviour={"results": str(results)}) as http:
        place = Place(str(http.base_url))
        ServiceRunner(place, keep=True).run(inputs, folder, lambda _: None, Stop())
        job = (folder / "job.txt").read_text()
        assert http.get(f"/v1/jobs/{job}").json()["options"]["keep_upload"] is True
        grid = Grid(image.shape, image.affine)
        labels = np.asarray(nib.load(results / "segmentation.nii.gz").dataobj)
        from brats_mm_service.viewer.label_files import LabelForm, encode_nrrd

        (folder / LABEL_FILE).write_bytes(encode_nrrd(labels, grid, LabelForm(".nrrd")))
        reported = []
        run = Run(Submission(place, job, "Dr Ann", reported.append), {}, folder).start()
        assert run.join(600)
        assert run.news()[-1] == Done(folder)
        assert reported == ["Version 1 is stored. Dice of the result against it: WT 100 %, TC 100 %, ET 100 %."]
        about = http.get(f"/datastore/label/info?label={job}").json()
        assert (about["author"], about["sequences"], about["trainable"]) == ("Dr Ann", ["t1ce"], True)


@contextmanager
def refused(_):
    class Answer:
        status = 422

        def chunks(self):
            yield json.dumps({"detail": "The label map is empty."}).encode()

    yield Answer()


def test_shows_service_error_and_asks_consent_for_other_machine(tmp_path):
    (tmp_path / LABEL_FILE).write_bytes(b"NRRD")
    transport = type("Refusing", (), {"send": staticmethod(refused)})()
    with pytest.raises(Refused, match="The label map is empty"):
        Submission(Place("http://127.0.0.1:8000"), "job", "Ann", print, transport).run(
            {}, tmp_path, lambda _: None, Stop()
        )
    with pytest.raises(NotAllowed, match="Tick the box"):
        Submission(Place("https://example.org"), "job", "Ann", print, transport).run({}, tmp_path, print, Stop())


def test_label_not_used_for_training_reports_reason():
    message = outcome({"version": 2}, {"scores": {"et": {"dice": None}}, "trainable": False})
    assert message == "Version 2 is stored. The model is not trained on it, because these are raw scans."
