"""Heads are compared with the mean brain in every distinguishable orientation."""

import numpy as np
import pytest

from brats_mm.domain.volume import Grid, Volume
from brats_mm.trust.input_checks.coarse import fit_frame, sample_coarse_image, sample_in_frame
from brats_mm.trust.input_checks.orientation import TURNS, UPRIGHT, Turn, measure_shape
from brats_mm.trust.input_checks.reference import load_default_reference


def lump():
    """Return a wedge that is long from back to front, higher at the back, and symmetric left to right."""
    inside = np.zeros((24, 32, 28), bool)
    inside[6:18, 4:28, 6:14] = True
    inside[6:18, 4:14, 14:22] = True
    return inside


def mean_of(inside):
    return sample_in_frame(inside.astype(np.float32), fit_frame(inside))


def test_axes_are_reordered_to_ras():
    """Stored as left, posterior, superior. At 2 mm per voxel, every second voxel is sampled."""
    data = np.arange(8 * 6 * 4, dtype=np.float32).reshape(8, 6, 4)
    image = sample_coarse_image(Volume(data, Grid((8, 6, 4), np.diag([-2.0, -2.0, 2.0, 1.0]))))
    assert np.array_equal(image.values, data[::2, ::2, ::2][::-1, ::-1])

    superior_first = Grid((8, 6, 4), np.array([[0, 0, 2, 0], [0, 2, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1.0]]))
    assert np.array_equal(
        sample_coarse_image(Volume(data, superior_first)).values, data[::2, ::2, ::2].transpose(2, 1, 0)
    )


def test_upright_head_matches_mean_at_any_position_and_size():
    large = np.zeros((60, 80, 70), bool)
    large[4:52, 10:74, 8:64] = np.repeat(np.repeat(np.repeat(lump(), 2, 0), 2, 1), 2, 2)[:, :, :56]
    for inside in (lump(), np.pad(lump(), ((3, 0), (0, 9), (5, 1))), large):
        shape = measure_shape(inside, mean_of(lump()))
        assert (shape.turn, shape.lead) == (UPRIGHT, 0.0)
        assert shape.likeness > 0.97
    assert measure_shape(lump(), mean_of(lump())).volume_ml == pytest.approx(np.count_nonzero(lump()) * 0.064)


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        (Turn(flipped=(True, False)), "front and back swapped"),
        (Turn(flipped=(False, True)), "top and bottom swapped"),
        (Turn(flipped=(True, True)), "front and back and top and bottom swapped"),
        (Turn((0, 2, 1)), "turned about another axis"),
    ],
)
def test_finds_rotation_of_head(turn, words):
    shape = measure_shape(turn.apply(lump().astype(np.float32)) > 0, mean_of(lump()))
    assert shape.turn == turn
    assert shape.lead > 0.1
    assert shape.turn.words == words


def test_left_and_right_are_not_distinguished():
    assert len(TURNS) == 24
    assert measure_shape(lump()[::-1], mean_of(lump())).turn == UPRIGHT


def test_shipped_mean_brain_matches_only_upright():
    """The reference is a symmetric brain, and its own rotations all match it less."""
    mean = load_default_reference().mean_brain
    assert np.array_equal(mean, mean[::-1])
    brain = np.repeat(np.repeat(np.repeat(mean, 2, 0), 2, 1), 2, 2) > 0.5
    assert measure_shape(brain, mean).turn == UPRIGHT
    assert measure_shape(brain[:, ::-1], mean).turn == Turn(flipped=(True, False))
    assert measure_shape(brain[:, :, ::-1], mean).turn == Turn(flipped=(False, True))
