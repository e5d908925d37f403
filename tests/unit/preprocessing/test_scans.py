"""Preprocess and restore raw scans: skull-stripped heads on different grids, without brain extraction."""

import numpy as np
import pytest

from brats_mm.data.phantom.head import make_phantom
from brats_mm.domain.case import Scans
from brats_mm.domain.input_kind import InputKind, recognise_kind
from brats_mm.domain.modality import Modality
from brats_mm.domain.options import PreprocessingOptions
from brats_mm.domain.volume import Grid, Volume
from brats_mm.errors import OptionError
from brats_mm.preprocessing.itk_volume import build_transform, resample_onto
from brats_mm.preprocessing.regridding import move_to_grid as regridded
from brats_mm.preprocessing.scans import prepare_scans

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scans():
    """T1ce of 2 mm, and FLAIR in slices of 4 mm, moved by 4 mm to the right."""
    images = make_phantom(5, (48, 56, 48), spacing_mm=(2.0, 2.0, 2.0)).images
    whole = images[Modality.FLAIR].grid
    thick = Grid((48, 56, 24), whole.affine @ np.diag([1, 1, 2, 1.0]))
    shift = np.eye(4)
    shift[0, 3] = -4.0
    flair = resample_onto(images[Modality.FLAIR], thick, build_transform(shift))
    return Scans("made", {Modality.T1CE: images[Modality.T1CE], Modality.FLAIR: flair}, ("said before",))


@pytest.fixture(scope="module")
def prepared(scans):
    reported = []
    options = PreprocessingOptions(keep_intermediate=True)
    made = prepare_scans(scans, recognise_kind(scans.volumes), options, on_step=reported.append)
    assert reported == ["registering FLAIR to T1ce", "resampling to 1 mm", "extracting the brain"]
    return made


def test_all_sequences_are_resampled_to_1_mm_on_reference_field_of_view(scans, prepared):
    assert prepared.case.grid.shape == (96, 112, 96)
    assert {volume.data.shape for volume in prepared.case.volumes.values()} == {(96, 112, 96)}
    assert prepared.reference is scans.volumes[Modality.T1CE].grid


def test_movement_is_found_and_reversed(prepared):
    np.testing.assert_allclose(prepared.transforms[Modality.FLAIR][:3, 3], [4, 0, 0], atol=1.0)
    here, there = (prepared.case.volumes[m].data != 0 for m in (Modality.T1CE, Modality.FLAIR))
    assert 2 * (here & there).sum() / (here.sum() + there.sum()) > 0.95


def test_record_has_steps_with_seconds_and_measurements(prepared):
    record = prepared.case.preparation
    assert record.recognition.kind is InputKind.RAW
    assert record.reference is Modality.T1CE
    assert [step.name for step in record.steps] == ["register_flair", "resample", "brain"]
    assert all(step.seconds > 0 for step in record.steps)
    assert {"rotation_deg", "shift_mm", "information_nats", "trusted"} < set(record.steps[0].quality)
    assert "skull-stripped already" in record.steps[2].quality["method"]
    assert prepared.case.warnings[0] == "said before"


def test_single_sequence_needs_no_registration(scans):
    alone = Scans("alone", {Modality.FLAIR: scans.volumes[Modality.FLAIR]})
    made = prepare_scans(alone, recognise_kind(alone.volumes, InputKind.RAW), PreprocessingOptions())
    assert [step.name for step in made.case.preparation.steps] == ["resample", "brain"]
    assert made.registered == {}


def test_slab_of_noise_gives_warning(scans):
    grid = scans.volumes[Modality.FLAIR].grid
    empty = Volume(np.zeros((48, 56, 2), np.float32), Grid((48, 56, 2), grid.affine))
    noise = np.random.default_rng(0).uniform(1, 2, empty.data.shape).astype(np.float32)
    volumes = {Modality.T1CE: scans.volumes[Modality.T1CE], Modality.T2: Volume(noise, empty.grid)}
    made = prepare_scans(Scans("slab", volumes), recognise_kind(volumes), PreprocessingOptions())
    assert any("T2" in warning for warning in made.case.warnings)


def test_n4_is_one_step_per_sequence_on_request(scans):
    alone = Scans("alone", {Modality.FLAIR: scans.volumes[Modality.FLAIR]})
    made = prepare_scans(alone, recognise_kind(alone.volumes, InputKind.RAW), PreprocessingOptions(n4=True))
    assert [step.name for step in made.case.preparation.steps] == ["resample", "n4_flair", "brain"]
    assert made.case.preparation.steps[1].quality["field_span"] >= 1.0


def test_rejects_missing_reference(scans):
    with pytest.raises(OptionError, match="reference T2 is not among the available"):
        prepare_scans(scans, recognise_kind(scans.volumes), PreprocessingOptions(reference=Modality.T2))


def test_results_on_sheared_reference_keep_patient_positions(scans):
    """The centre of the brain is the same on the orthogonal working grid and on the sheared reference."""
    upright = scans.volumes[Modality.T1CE]
    lean = np.eye(4)
    lean[1, 2] = 0.15  # 8.5 degrees
    grid = Grid(upright.grid.shape, upright.grid.affine @ lean)
    sheared = resample_onto(upright, grid, build_transform(np.eye(4)))
    alone = Scans("sheared", {Modality.T1CE: sheared})
    made = prepare_scans(alone, recognise_kind(alone.volumes, InputKind.RAW), PreprocessingOptions())
    assert made.case.grid.shear_deg < 1e-6
    back = regridded(made.brain.data, made.case.grid, grid)
    for volume in (made.brain, Volume(back, grid)):
        np.testing.assert_allclose(centre_mm(volume), centre_mm(binary(sheared)), atol=0.5)


def test_sheared_sequence_is_resampled_once_by_full_affine(scans):
    """FLAIR has a right header, and its brain is moved onto that of T1ce."""
    upright = make_phantom(5, (48, 56, 48), spacing_mm=(2.0, 2.0, 2.0)).images
    lean = np.eye(4)
    lean[0, 2] = 0.15
    grid = Grid((52, 56, 24), upright[Modality.FLAIR].grid.affine @ np.diag([1, 1, 2, 1.0]) @ lean)
    flair = resample_onto(upright[Modality.FLAIR], grid, build_transform(np.eye(4)))
    volumes = {Modality.T1CE: upright[Modality.T1CE], Modality.FLAIR: flair}
    made = prepare_scans(Scans("x", volumes), recognise_kind(volumes), PreprocessingOptions())
    assert made.reference is upright[Modality.T1CE].grid
    centres = [centre_mm(binary(made.case.volumes[modality])) for modality in volumes]
    np.testing.assert_allclose(centres[0], centres[1], atol=0.5)
    np.testing.assert_array_equal(made.transforms[Modality.FLAIR], np.eye(4))
    assert any("skull-stripped but have different grids" in warning for warning in made.case.warnings)


def test_stripped_sequences_on_one_grid_are_not_registered(scans):
    """Even a FLAIR that is 4 mm off stays, because one grid means that the sequences were co-registered."""
    upright = make_phantom(5, (48, 56, 48), spacing_mm=(2.0, 2.0, 2.0)).images
    off = np.roll(upright[Modality.FLAIR].data, 2, axis=0)
    volumes = {Modality.T1CE: upright[Modality.T1CE], Modality.FLAIR: Volume(off, upright[Modality.FLAIR].grid)}
    made = prepare_scans(Scans("x", volumes), recognise_kind(volumes, InputKind.RAW), PreprocessingOptions())
    np.testing.assert_array_equal(made.transforms[Modality.FLAIR], np.eye(4))


def test_reports_moved_stripped_sequence(prepared):
    (warning,) = [warning for warning in prepared.case.warnings if "was moved by" in warning]
    assert "FLAIR and T1ce are skull-stripped but have different grids" in warning


def test_given_brain_mask_replaces_brain_extraction(scans):
    """The mask is drawn on FLAIR and moves with it, 4 mm to the left onto T1ce."""
    flair = scans.volumes[Modality.FLAIR]
    mask = Volume((flair.data > 0).astype(np.float32), flair.grid)
    with_mask = prepare_scans(scans, recognise_kind(scans.volumes), PreprocessingOptions(), brain_mask=mask)
    step = with_mask.case.preparation.steps[-1]
    assert step.quality["method"] == "mask given, in the space of FLAIR"
    reference = binary(scans.volumes[Modality.T1CE])
    np.testing.assert_allclose(centre_mm(with_mask.brain), centre_mm(reference), atol=1.5)


def binary(volume):
    return Volume((volume.data > 0).astype(np.float32), volume.grid)


def centre_mm(volume):
    index = np.argwhere(volume.data >= 0.5).mean(axis=0)
    return volume.grid.affine[:3, :3] @ index + volume.grid.affine[:3, 3]


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (lambda data: np.where(data != 0, 2.5 * data, 0), "T1ce and T2 are the same image except for scale"),
        (lambda data: (data != 0).astype(np.float32), "T2 looks like a mask"),
        (lambda data: np.float32(data.max() * 1.5) - data, "T2 is darker than its background almost everywhere"),
    ],
    ids=["scaled copy", "mask", "inverted contrast"],
)
def test_copies_and_masks_give_warnings_for_raw_scans(scans, change, warning):
    """`Scans` on two grids are raw, whatever their content."""
    t1ce = scans.volumes[Modality.T1CE]
    other = Volume(np.asarray(change(t1ce.data), np.float32), t1ce.grid)
    given = Scans("made", {Modality.T1CE: t1ce, Modality.T2: other, Modality.FLAIR: scans.volumes[Modality.FLAIR]})
    made = prepare_scans(given, recognise_kind(scans.volumes), PreprocessingOptions())
    assert [one for one in made.case.warnings if warning in one], made.case.warnings


def test_valid_scans_give_no_content_warnings(prepared):
    message = " ".join(prepared.case.warnings)
    assert not any(word in message for word in ("same image", "looks like a mask", "darker than its background"))
