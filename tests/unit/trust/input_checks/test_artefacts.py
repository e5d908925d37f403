"""Checks for ghosts of motion, thick slices and large fluid-filled spaces, on textured ellipsoids."""

import numpy as np
import pytest

from brats_mm.domain.modality import Modality
from brats_mm.domain.volume import Grid, Volume
from brats_mm.trust.input_checks.artefacts import (
    MAX_THICK_SHARPNESS,
    MIN_FLUID_MM,
    MIN_GHOST_SCORE,
    check_artefacts,
    compute_ghost_score,
    measure_fluid_radius_mm,
    measure_slice_sharpness,
)
from brats_mm.trust.input_checks.finding import Check

T1, T1CE, T2, FLAIR = Modality
SHAPE = (120, 140, 60)


def ellipsoid(shape=SHAPE):
    at = np.stack(np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij"))
    return (at**2).sum(axis=0) < 0.9


def textured(seed=0):
    """Return values of about 100 inside the ellipsoid, and 0 outside."""
    values = np.random.default_rng(seed).normal(100, 10, SHAPE)
    return np.where(ellipsoid(), values, 0).astype(np.float32)


def volume(data, spacing=(1.0, 1.0, 1.0)):
    return Volume(np.ascontiguousarray(data, np.float32), Grid(data.shape, np.diag([*spacing, 1.0])))


def interpolated(data, slices):
    """Return the image with only every `slices`-th slice kept, and linear interpolation between them."""
    at = np.arange(data.shape[2])
    low = np.minimum(at // slices * slices, data.shape[2] - 1)
    high = np.minimum(low + slices, data.shape[2] - 1)
    share = (at - low) / slices
    return (data[..., low] * (1 - share) + data[..., high] * share) * (data != 0)


def with_ball(data, value, radius, centre=(60, 70, 30)):
    distance = np.sqrt(sum((axis - at) ** 2 for axis, at in zip(np.indices(data.shape), centre, strict=True)))
    return np.where(distance <= radius, np.float32(value), data)


@pytest.mark.parametrize("axis", [0, 1])
def test_shifted_copy_is_a_ghost_and_texture_is_not(axis):
    data = textured()
    copy = np.roll(data, 40, axis)
    assert compute_ghost_score(volume(data)) < MIN_GHOST_SCORE / 2
    assert compute_ghost_score(volume(np.where(data != 0, 0.8 * data + 0.2 * copy, 0))) > MIN_GHOST_SCORE


def test_ghost_is_found_in_every_storage_order():
    data = textured()
    ghosted = np.where(data != 0, 0.9 * data + 0.1 * np.roll(data, 40, 1), 0)
    affine = np.zeros((4, 4))
    affine[2, 0] = affine[0, 1] = affine[1, 2] = affine[3, 3] = 1  # axes superior, right, anterior
    turned = np.ascontiguousarray(ghosted.transpose(2, 0, 1))
    score = compute_ghost_score(Volume(turned, Grid(turned.shape, affine)))
    assert score == pytest.approx(compute_ghost_score(volume(ghosted)), rel=1e-3)


def test_interpolated_slices_are_less_sharp_along_their_axis():
    assert measure_slice_sharpness(volume(textured())) == pytest.approx(1, abs=0.05)
    assert measure_slice_sharpness(volume(interpolated(textured(), 5))) < MAX_THICK_SHARPNESS


@pytest.mark.parametrize("score", [compute_ghost_score, measure_slice_sharpness])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 5.0), (0.4, 0.4, 1.0)])
def test_fine_structure_is_scored_only_in_voxels_of_about_1_mm(score, spacing):
    assert score(volume(textured(), spacing)) is None


@pytest.mark.parametrize("score", [compute_ghost_score, measure_slice_sharpness])
def test_image_without_a_brain_has_no_score(score):
    empty = np.zeros(SHAPE, np.float32)
    assert score(volume(empty)) is None
    empty[0, 0, :2] = 1
    assert score(volume(empty)) is None


@pytest.mark.parametrize("radius", [8, 14])
def test_radius_of_fluid_is_measured(radius):
    images = {T1: with_ball(textured(), 30, radius), T2: with_ball(textured(1), 250, radius)}
    assert measure_fluid_radius_mm({m: volume(data) for m, data in images.items()}) == pytest.approx(radius, abs=2)


def test_fluid_must_look_like_fluid_in_every_sequence():
    """A ball that is dark in T1 and grey in FLAIR is no fluid."""
    assert measure_fluid_radius_mm({T1: volume(with_ball(textured(), 30, 14)), FLAIR: volume(textured(1))}) == 0


@pytest.mark.parametrize("given", [{T1}, {T1, T1CE}, {T2, FLAIR}])
def test_fluid_needs_two_kinds_of_contrast(given):
    assert measure_fluid_radius_mm({modality: volume(textured()) for modality in given}) is None


def test_warnings_name_the_image_and_the_radius():
    cavity = {T1: with_ball(textured(), 30, 14), FLAIR: with_ball(textured(1), 30, 14)}
    cavity[FLAIR] = interpolated(cavity[FLAIR], 5)
    warned = {
        item.check: item.warning for item in check_artefacts({m: volume(d) for m, d in cavity.items()}) if item.warning
    }
    assert warned.keys() == {Check.SLICES, Check.FLUID}
    assert warned[Check.SLICES].startswith("Images that seem to be interpolated from thick slices: FLAIR. Small")
    assert "a cavity after surgery" in warned[Check.FLUID]
    assert MIN_FLUID_MM < 14


def test_clean_images_give_no_warning():
    findings = check_artefacts({T1: volume(textured()), FLAIR: volume(textured(1))})
    assert [item.check for item in findings] == [Check.GHOST, Check.SLICES, Check.FLUID]
    assert all(item.warning is None for item in findings)
