"""Volumes to SimpleITK and back, and resampling between grids."""

import numpy as np

from brats_mm.domain.volume import Grid, Volume
from brats_mm.preprocessing.itk_volume import data_of, matrix_of, resample_onto, to_itk, transform_of

OBLIQUE = np.array([[-0.9, 0.1, 0.3, 12.0], [0.09, 0.89, -1.5, -30.0], [0.06, 0.24, 5.2, 7.0], [0, 0, 0, 1.0]])


def ramp(shape=(6, 7, 8)):
    """A signal that is linear in each index, so that interpolation is exact."""
    x, y, z = np.indices(shape)
    return (x + 10 * y + 100 * z).astype(np.float32)


def test_a_volume_survives_the_way_there_and_back():
    volume = Volume(ramp(), Grid((6, 7, 8), np.diag([1.0, 2.0, 3.0, 1.0])))
    np.testing.assert_array_equal(data_of(to_itk(volume)), volume.data)


def test_itk_puts_a_voxel_where_the_affine_does():
    turn, _ = np.linalg.qr(OBLIQUE[:3, :3])
    affine = OBLIQUE.copy()
    affine[:3, :3] = turn * [0.9, 0.9, 5.5]
    image = to_itk(Volume(ramp(), Grid((6, 7, 8), affine)))
    left, back, up = image.TransformIndexToPhysicalPoint((2, 3, 4))
    np.testing.assert_allclose((-left, -back, up), (affine @ [2, 3, 4, 1])[:3], atol=1e-9)


def test_a_transform_is_the_matrix_it_was_made_of():
    matrix = np.eye(4)
    matrix[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    matrix[:3, 3] = 4, 5, 6
    np.testing.assert_allclose(matrix_of(transform_of(matrix)), matrix, atol=1e-12)


def test_resampling_takes_values_from_where_the_matrix_points_and_zero_beyond():
    volume = Volume(ramp(), Grid((6, 7, 8), np.eye(4)))
    shift = np.eye(4)
    shift[:3, 3] = 0, 0, 0.5
    made = resample_onto(volume, volume.grid, transform_of(shift))
    np.testing.assert_allclose(made.data[..., :7], volume.data[..., :7] + 50, atol=1e-3)
    shift[2, 3] = 6
    assert (resample_onto(volume, volume.grid, transform_of(shift)).data[..., 2:] == 0).all()
