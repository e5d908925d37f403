"""Registration of synthetic heads with known movements, and warnings for failed registrations."""

import numpy as np
import pytest

from benchmarks.skull import Margin, add_skull
from brats_mm.data.phantom.head import make_phantom
from brats_mm.domain.modality import Modality
from brats_mm.domain.volume import Grid, Volume
from brats_mm.preprocessing.alignment_measures import find_registration_warnings, measure, prepare_side
from brats_mm.preprocessing.itk_volume import build_transform, resample_onto
from brats_mm.preprocessing.registration import MAX_UNMOVED_MM, register

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def head():
    """T1ce and T2 of one head of 4 mm, with skull."""
    images = make_phantom(4, (48, 56, 48), spacing_mm=(4.0, 4.0, 4.0)).images
    return add_skull({m: images[m] for m in (Modality.T1CE, Modality.T2)}, seed=2, margin=Margin(8.0, 20.0)).images


def movement(degrees, mm):
    """Return a movement about the middle of the head, which is near (-96, 110, 100)."""
    angle = np.deg2rad(degrees)
    matrix, centre = np.eye(4), np.array([-96.0, 110.0, 100.0])
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = centre - matrix[:3, :3] @ centre + np.array(mm)
    return matrix


def moved(volume, matrix):
    return resample_onto(volume, volume.grid, build_transform(np.linalg.inv(matrix)))


def error_mm(result, true, head):
    points = prepare_side(head[Modality.T1CE]).points_mm
    apart = points @ (result - true)[:3, :3].T + (result - true)[:3, 3]
    return float(np.linalg.norm(apart, axis=1).mean())


def test_recovers_known_movement_within_half_a_voxel_reproducibly(head):
    true = movement(7.0, (5.0, -4.0, 6.0))
    moving = moved(head[Modality.T2], true)
    registered = register(head[Modality.T1CE], moving)
    assert error_mm(registered.matrix, true, head) < 2.0
    assert registered.doubts == ()
    assert registered.alignment.information_nats > registered.alignment.information_before_nats
    np.testing.assert_array_equal(register(head[Modality.T1CE], moving).matrix, registered.matrix)


def test_wrong_header_position_is_corrected_by_head_centres_with_warning(head):
    volume = head[Modality.T2]
    far = volume.grid.affine.copy()
    far[:3, 3] += (180.0, 0.0, 0.0)
    true = np.eye(4)
    true[0, 3] = 180.0
    registered = register(head[Modality.T1CE], Volume(volume.data, Grid(volume.grid.shape, far)))
    assert registered.alignment.start == "centres"
    assert error_mm(registered.matrix, true, head) < 2.0
    assert "it moves the head by 180 mm" in registered.doubts[0]


def test_aligned_images_on_one_grid_are_not_moved(head):
    registered = register(head[Modality.T1CE], head[Modality.T2], still_mm=MAX_UNMOVED_MM)
    np.testing.assert_array_equal(registered.matrix, np.eye(4))
    assert registered.doubts == ()


def test_reports_failed_registration_of_noise(head):
    grid = head[Modality.T1CE].grid
    noise = np.random.default_rng(1).uniform(1, 2, grid.shape).astype(np.float32)
    assert "mutual information is low" in " ".join(register(head[Modality.T1CE], Volume(noise, grid)).doubts)


@pytest.mark.parametrize(("degrees", "mm"), [(0, (20, 0, 0)), (0, (0, 0, -20)), (25, (0, 0, 0)), (12, (8, 8, 8))])
def test_wrong_registration_gives_warning(head, degrees, mm):
    fixed, moving = prepare_side(head[Modality.T1CE]), prepare_side(head[Modality.T2])
    assert find_registration_warnings(measure(fixed, moving, np.eye(4), start="given")) == ()
    assert find_registration_warnings(measure(fixed, moving, movement(degrees, mm), start="given"))


def test_empty_overlap_is_measured(head):
    fixed = prepare_side(head[Modality.T1CE])
    alignment = measure(fixed, fixed, movement(0, (900, 0, 0)), start="given")
    assert (alignment.covered, alignment.information_nats, alignment.edge_agreement) == (0.0, 0.0, 0.0)
    assert "covers only 0% of the head" in find_registration_warnings(alignment)[0]
