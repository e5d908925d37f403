"""Conversion of volumes to SimpleITK and back, and resampling between grids."""

import numpy as np
import pytest

from brats_mm.domain.volume import Grid, Volume
from brats_mm.preprocessing.itk_volume import (
    build_transform,
    extract_data,
    extract_matrix,
    make_orthogonal_volume,
    resample_onto,
    to_itk,
)

OBLIQUE = np.array([[-0.9, 0.1, 0.3, 12.0], [0.09, 0.89, -1.5, -30.0], [0.06, 0.24, 5.2, 7.0], [0, 0, 0, 1.0]])


def ramp(shape=(6, 7, 8)):
    """Return a signal that is linear in each index, so that interpolation is exact."""
    x, y, z = np.indices(shape)
    return (x + 10 * y + 100 * z).astype(np.float32)


def test_volume_round_trips():
    volume = Volume(ramp(), Grid((6, 7, 8), np.diag([1.0, 2.0, 3.0, 1.0])))
    np.testing.assert_array_equal(extract_data(to_itk(volume.data, volume.grid)), volume.data)


def test_itk_voxel_positions_follow_affine():
    turn, _ = np.linalg.qr(OBLIQUE[:3, :3])
    affine = OBLIQUE.copy()
    affine[:3, :3] = turn * [0.9, 0.9, 5.5]
    image = to_itk(ramp(), Grid((6, 7, 8), affine))
    left, back, up = image.TransformIndexToPhysicalPoint((2, 3, 4))
    np.testing.assert_allclose((-left, -back, up), (affine @ [2, 3, 4, 1])[:3], atol=1e-9)


def test_transform_has_its_matrix():
    matrix = np.eye(4)
    matrix[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    matrix[:3, 3] = 4, 5, 6
    np.testing.assert_allclose(extract_matrix(build_transform(matrix)), matrix, atol=1e-12)


def test_resampling_applies_matrix_and_fills_zero_outside():
    volume = Volume(ramp(), Grid((6, 7, 8), np.eye(4)))
    shift = np.eye(4)
    shift[:3, 3] = 0, 0, 0.5
    result = resample_onto(volume, volume.grid, build_transform(shift))
    np.testing.assert_allclose(result.data[..., :7], volume.data[..., :7] + 50, atol=1e-3)
    shift[2, 3] = 6
    assert (resample_onto(volume, volume.grid, build_transform(shift)).data[..., 2:] == 0).all()


BALL_MM = np.array([10.0, 20.0, 25.0])
SHEARED = np.array([[1, 0, 0, -30], [0, 1, 0.3, -30], [0, 0, 3, -20], [0, 0, 0, 1.0]])
LEFT_HANDED = np.array([[-1, 0, 0, 45], [0, 1, 0.3, -30], [0, 0, 3, -20], [0, 0, 0, 1.0]])
ANISOTROPIC = OBLIQUE @ np.diag([1, 1, 1, 1.0])
GRIDS = {"sheared": SHEARED, "sheared, left-handed": LEFT_HANDED, "oblique, anisotropic and sheared": ANISOTROPIC}


def ball(grid, sigma_mm=4.0):
    """Return a smooth ball at a known position in the patient."""
    index = np.indices(grid.shape).reshape(3, -1)
    points = grid.affine[:3, :3] @ index + grid.affine[:3, 3:]
    distance = ((points - BALL_MM[:, None]) ** 2).sum(axis=0)
    return Volume(np.exp(-distance / (2 * sigma_mm**2)).reshape(grid.shape).astype(np.float32), grid)


def centre_mm(volume):
    weight = volume.data.ravel() / volume.data.sum()
    index = np.indices(volume.data.shape).reshape(3, -1) @ weight
    return volume.grid.affine[:3, :3] @ index + volume.grid.affine[:3, 3]


def around_ball(affine, shape):
    """Move the origin of the grid so that the ball is in its middle."""
    result = affine.copy()
    result[:3, 3] = BALL_MM - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, result)


@pytest.mark.parametrize("name", GRIDS)
def test_resampling_to_and_from_sheared_grid_keeps_patient_positions(name):
    sheared, upright_grid = around_ball(GRIDS[name], (60, 64, 20)), around_ball(np.eye(4), (50, 50, 50))
    still = build_transform(np.eye(4))
    np.testing.assert_allclose(centre_mm(resample_onto(ball(sheared), upright_grid, still)), BALL_MM, atol=0.1)
    np.testing.assert_allclose(centre_mm(resample_onto(ball(upright_grid), sheared, still)), BALL_MM, atol=0.1)


@pytest.mark.parametrize("name", GRIDS)
def test_removing_shear_keeps_patient_positions(name):
    volume = ball(around_ball(GRIDS[name], (60, 64, 20)))
    result = make_orthogonal_volume(volume)
    assert volume.grid.shear_deg > 1
    assert result.grid.shear_deg < 1e-6
    np.testing.assert_allclose(centre_mm(result), BALL_MM, atol=0.1)
    np.testing.assert_allclose(
        result.data.sum() * result.grid.voxel_ml, volume.data.sum() * volume.grid.voxel_ml, rtol=0.02
    )


def test_oblique_orthogonal_axes_are_unchanged():
    turn, _ = np.linalg.qr(OBLIQUE[:3, :3])
    affine = OBLIQUE.copy()
    affine[:3, :3] = turn * [0.9, 0.9, 5.5]
    volume = Volume(ramp(), Grid((6, 7, 8), affine))
    assert volume.grid.shear_deg < 1e-6
    assert make_orthogonal_volume(volume) is volume
