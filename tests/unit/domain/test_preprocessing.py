"""Choice of the reference, its working grid, and warnings about registrations."""

from dataclasses import replace

import numpy as np
import pytest

from brats_mm.domain.modality import Modality
from brats_mm.domain.preprocessing import choose_reference, make_working_grid
from brats_mm.domain.volume import Grid
from brats_mm.errors import OptionError
from brats_mm.preprocessing.alignment_measures import Alignment, find_registration_warnings

GOOD = Alignment(
    start="header",
    rotation_deg=3.0,
    shift_mm=4.0,
    covered=0.97,
    information_before_nats=0.3,
    information_nats=0.6,
    peak=0.5,
    head_overlap=0.97,
    edge_agreement=0.7,
)


def grid(*spacing, size=(200.0, 200.0, 150.0)):
    shape = [round(mm / one) for mm, one in zip(size, spacing, strict=True)]
    return Grid((shape[0], shape[1], shape[2]), np.diag([*spacing, 1.0]))


def test_thinnest_slices_are_the_reference():
    reference, why = choose_reference({Modality.T1CE: grid(0.9, 0.9, 5), Modality.FLAIR: grid(1, 1, 1)})
    assert reference is Modality.FLAIR
    assert why == "FLAIR has the thinnest slices (1 mm)."


def test_t1ce_is_preferred_among_equally_thin_slices():
    reference, why = choose_reference({m: grid(0.9, 0.9, 5) for m in Modality})
    assert reference is Modality.T1CE
    assert "T1ce has priority" in why


def test_thin_slab_is_not_the_reference():
    slab = grid(0.5, 0.5, 0.5, size=(100.0, 100.0, 40.0))
    assert choose_reference({Modality.T1CE: slab, Modality.T2: grid(0.9, 0.9, 5)})[0] is Modality.T2


def test_requested_reference_is_used_if_available():
    grids = {Modality.T1: grid(1, 1, 1), Modality.T2: grid(1, 1, 5)}
    assert choose_reference(grids, Modality.T2) == (Modality.T2, "T2 was requested.")
    with pytest.raises(OptionError, match="FLAIR is not among"):
        choose_reference(grids, Modality.FLAIR)


def test_working_grid_covers_reference_at_1_mm():
    result = make_working_grid(grid(0.5, 0.8, 5.0))
    assert result.shape == (200, 200, 150)
    np.testing.assert_allclose(result.spacing_mm, (1, 1, 1), atol=1e-9)
    # The outer edge of the first voxel is unchanged: half a voxel before its centre.
    np.testing.assert_allclose(result.affine[:3, 3] - 0.5, [-0.25, -0.4, -2.5], atol=1e-9)


def test_good_registration_gives_no_warning():
    assert find_registration_warnings(GOOD) == ()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"covered": 0.3}, "covers only 30% of the head"),
        ({"head_overlap": 0.6}, "overlap only with a Dice of 0.60"),
        ({"information_nats": 0.01}, "mutual information is low"),
        ({"information_before_nats": 0.7}, "lower than with the alignment of the headers"),
        ({"peak": -0.1}, "a shift by 10 mm or a rotation by 10 degrees"),
        ({"edge_agreement": 0.05}, "edges have a correlation of only 0.05"),
        ({"rotation_deg": 80.0}, "80 degrees"),
        ({"shift_mm": 90.0}, "90 mm"),
    ],
)
def test_each_measure_can_give_a_warning(fault, message):
    assert message in " ".join(find_registration_warnings(replace(GOOD, **fault)))


def test_axes_of_oblique_grid_are_distinguished():
    c, s = np.cos(np.pi / 4), np.sin(np.pi / 4)
    affine = np.eye(4)
    affine[:3, :3] = [[0, -c, s], [0, s, c], [-1, 0, 0]]
    axes = Grid((4, 5, 6), affine).ras_axes
    assert sorted(world for world, _ in axes) == [0, 1, 2]
    assert axes[0] == (2, -1)
