"""Segment raw scans from files with a tiny network. The results are on the grid of the reference."""

import json

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from nibabel.processing import resample_from_to

from brats_mm import Segmenter
from brats_mm.domain.case import Scans
from brats_mm.domain.input_kind import InputKind
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import REGIONS
from brats_mm.errors import CaseError, GridError, OutputError
from brats_mm.inference.engine import WindowSettings
from brats_mm.io.case import find_case, read_scans
from brats_mm.pipeline.batch import segment_many
from brats_mm.pipeline.request import make_request
from brats_mm.pipeline.segment import segment
from tests.fakes.dicom_series import TYPICAL, write_series

pytestmark = pytest.mark.slow

T1CE, FLAIR = "BraTS-GLI-00000-000-t1c.nii.gz", "BraTS-GLI-00000-000-t2f.nii.gz"


@pytest.fixture(scope="module")
def segmenter(tiny_bundle):
    settings = WindowSettings(window=(64, 64, 64), keep_weight_maps=True)
    return Segmenter.from_bundle(tiny_bundle, device="cpu", settings=settings)


@pytest.fixture
def thick(head_folder):
    """T1ce unchanged, and FLAIR in oblique-coded slices of 2 mm: two grids."""
    image = nib.load(head_folder / FLAIR)
    data = np.asarray(image.dataobj).astype(np.float32)
    affine = image.affine @ np.diag([1, 1, 2, 1.0])
    affine[:3, 3] += image.affine[:3, 2] / 2
    result = nib.Nifti1Image(data.reshape(64, 72, 28, 2).mean(axis=-1).astype(np.int16), affine)
    result.set_sform(affine, 1)
    result.set_qform(affine, 1)
    nib.save(result, head_folder / FLAIR)
    return {"t1ce": head_folder / T1CE, "flair": head_folder / FLAIR}


def test_registers_different_grids_and_writes_results_on_reference_grid(segmenter, thick, tmp_path):
    out = tmp_path / "out"
    requested = {"probabilities": True, "importance_maps": True, "reference": "flair", "keep_intermediate": True}
    result = segment(make_request(thick, out, **requested), segmenter)
    given = nib.load(thick["flair"])
    for path in out.glob("*.nii.gz"):
        image = nib.load(path)
        assert image.shape == given.shape
        np.testing.assert_array_equal(image.affine, given.affine)
        assert int(image.header["sform_code"]) == int(image.header["qform_code"]) == 1
    assert {path for path in out.rglob("*") if path.is_file()} == set(result.files)
    report = json.loads((out / "report.json").read_text())
    assert report["preparation"]["kind"] == "raw"
    assert report["preparation"]["evidence"][0] == "The 2 sequences have 2 different grids."
    assert report["preparation"]["reference"] == "flair"
    assert [step["name"] for step in report["preparation"]["steps"]] == ["register_t1ce", "resample", "brain"]
    assert {"read", "register_t1ce", "resample", "brain", "to_native_grid", "write"} < set(report["run"]["seconds"])
    transform = sitk.ReadTransform(str(out / "intermediate" / "t1ce_to_reference.tfm"))
    np.testing.assert_allclose(transform.TransformPoint((0.0, 0.0, 0.0)), (0, 0, 0), atol=3)
    assert (out / "intermediate" / "flair_registered.nii.gz").exists()


def test_registered_scans_are_results_on_segmentation_grid(segmenter, thick, made_head, tmp_path):
    truth = np.asarray(nib.load(made_head / FLAIR).dataobj)
    moved = nib.load(thick["flair"])
    shift = np.eye(4)
    shift[:3, 3] = (6, -5, 4)
    drawn_by_header = resample_from_to(moved, nib.load(thick["t1ce"]), order=1)
    wrong = nib.Nifti1Image(np.asarray(moved.dataobj), shift @ moved.affine)
    nib.save(wrong, thick["flair"])
    drawn_by_wrong_header = resample_from_to(wrong, nib.load(thick["t1ce"]), order=1)
    result = segment(make_request(thick, tmp_path / "out"), segmenter)
    assert {path.name for path in result.files if "registered" in path.name} == {"registered_flair.nii.gz"}
    labels, registered = (
        nib.load(tmp_path / "out" / name) for name in ("segmentation.nii.gz", "registered_flair.nii.gz")
    )
    assert registered.shape == labels.shape
    np.testing.assert_array_equal(registered.affine, labels.affine)
    best, worst, own = (
        np.abs(image.get_fdata() - truth).mean() for image in (drawn_by_header, drawn_by_wrong_header, registered)
    )
    assert own < best + 0.3 * (worst - best), "the scan lies on the head, whatever its own header says"


def test_prepared_input_has_no_registered_scans(segmenter, head_folder, tmp_path):
    files = {"t1ce": head_folder / T1CE, "flair": head_folder / FLAIR}
    result = segment(make_request(files, tmp_path / "out"), segmenter)
    assert not [path.name for path in result.files if "registered" in path.name]


def test_each_dicom_series_is_written_on_segmentation_grid(segmenter, made_head, tmp_path):
    """Viewers cannot draw results on DICOM files, so each series is written, moved or not."""
    study, given = tmp_path / "study", {}
    for name, file in {"t1ce": T1CE, "flair": FLAIR}.items():
        image = nib.load(made_head / file)
        given[name] = np.asarray(image.dataobj).clip(0)
        write_series(study / name, given[name], image.affine, TYPICAL[name])
    result = segment(make_request(study, tmp_path / "out", prepared=True), segmenter)
    names = {path.name for path in result.files if path.name.startswith(("image_", "registered_"))}
    assert names == {"image_t1ce.nii.gz", "image_flair.nii.gz"}
    labels = nib.load(tmp_path / "out" / "segmentation.nii.gz")
    for name, data in given.items():
        image = nib.load(tmp_path / "out" / f"image_{name}.nii.gz")
        np.testing.assert_allclose(image.affine, labels.affine, atol=1e-4)
        written = image.as_reoriented(
            nib.orientations.ornt_transform(
                *(nib.orientations.io_orientation(one) for one in (image.affine, nib.load(made_head / T1CE).affine))
            )
        ).get_fdata()
        np.testing.assert_allclose(written, data, atol=data.max() / 65000)


def test_labels_and_entropy_follow_from_probabilities_on_reference_grid(segmenter, thick):
    prediction = segmenter.predict(thick, reference=Modality.FLAIR)
    assert prediction.labels().shape == prediction.combined_entropy().shape == (64, 72, 28)
    for region in REGIONS:
        assert prediction.probabilities[region].min() >= 0
        assert prediction.probabilities[region].max() <= 1
    assert {maps.shape for regions in prediction.importance.maps.values() for maps in regions.values()} == {
        (64, 72, 28)
    }


def test_prepared_input_is_bit_identical(segmenter, head_folder):
    files = {"t1ce": head_folder / T1CE, "flair": head_folder / FLAIR}
    seen = segmenter.predict(files)
    uninterrupted = segmenter.predict(files, prepared=True)
    for region in REGIONS:
        np.testing.assert_array_equal(seen.probabilities[region], uninterrupted.probabilities[region])
    assert seen.case.preparation.steps == ()
    assert seen.case.warnings == uninterrupted.case.warnings
    assert seen.case.grid is seen.case.volumes[Modality.T1CE].grid


def test_rejects_different_grids_for_prepared_input(segmenter, thick):
    with pytest.raises(GridError, match=r"have different grids.*--prepared"):
        segmenter.predict(thick, prepared=True)
    scans = Scans("scans", dict(read_scans(find_case(thick["flair"].parent)).volumes))
    with pytest.raises(GridError, match="FLAIR has 64 x 72 x 28 voxels"):
        segmenter.predict(scans, prepared=True)


def test_scans_in_memory_are_segmented_like_files(segmenter, thick):
    scans = read_scans(find_case(thick["flair"].parent))
    kept = Scans("scans", {m: scans.volumes[m] for m in (Modality.T1CE, Modality.FLAIR)})
    prediction = segmenter.predict(kept)
    assert prediction.case.grid.shape == (64, 72, 56)
    assert prediction.case.preparation.reference is Modality.T1CE


def test_intermediates_never_overwrite(segmenter, thick, tmp_path):
    (tmp_path / "out" / "intermediate").mkdir(parents=True)
    with pytest.raises(OutputError, match="already holds intermediate"):
        segment(make_request(thick, tmp_path / "out", keep_intermediate=True), segmenter)


def test_batch_of_raw_cases_is_on_reference_grids(segmenter, thick, tmp_path):
    (outcome,) = segment_many([make_request(thick, tmp_path / "out", preview=False)], segmenter)
    assert outcome.error is None
    assert outcome.report["grid"]["shape"] == [64, 72, 56]
    assert outcome.report["preparation"]["kind"] == "raw"
    assert tmp_path / "out" / "registered_flair.nii.gz" in outcome.files


def test_brain_mask_makes_images_on_one_grid_prepared_input(segmenter, head_folder, tmp_path):
    """Noise stands for tissue outside the brain. With the mask, the result equals that of the stripped images."""
    files = {"t1ce": head_folder / T1CE, "flair": head_folder / FLAIR}
    uninterrupted = segmenter.predict(files)
    mask = None
    for name, path in list(files.items()):
        image = nib.load(path)
        data = np.asarray(image.dataobj).astype(np.float32)
        mask = data != 0 if mask is None else mask | (data != 0)
        with_head = np.where(data != 0, data, np.random.default_rng(0).uniform(1, 400, data.shape)).astype(np.float32)
        files[name] = tmp_path / f"{name}.nii.gz"
        nib.save(nib.Nifti1Image(with_head, image.affine), files[name])
        affine = image.affine
    turned = nib.as_closest_canonical(nib.Nifti1Image(mask.astype(np.uint8) * 255, affine))
    nib.save(turned, tmp_path / "mask.nii.gz")
    result = segmenter.predict(files, brain_mask=tmp_path / "mask.nii.gz")
    assert result.case.preparation.recognition.kind is InputKind.PREPARED
    outside = ~np.asarray(mask)
    assert all(not volume.data[outside].any() for volume in result.case.volumes.values())
    for region in REGIONS:
        np.testing.assert_allclose(result.probabilities[region], uninterrupted.probabilities[region], atol=0.05)


def test_rejects_brain_mask_on_other_grid_for_prepared_input_and_empty_mask_always(segmenter, head_folder, tmp_path):
    files = {"t1ce": head_folder / T1CE}
    nib.save(nib.Nifti1Image(np.ones((20, 20, 20), np.uint8), np.diag([1.3, 1.3, 1.3, 1])), tmp_path / "mask.nii.gz")
    options = {"prepared": True, "brain_mask": tmp_path / "mask.nii.gz"}
    with pytest.raises(GridError, match="Resample the mask to their grid"):
        segmenter.predict(files, **options)
    nib.save(nib.Nifti1Image(np.zeros((20, 20, 20), np.uint8), np.eye(4)), tmp_path / "mask.nii.gz")
    with pytest.raises(CaseError, match="The brain mask is empty"):
        segmenter.predict(files, **options)
