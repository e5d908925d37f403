"""Contrasts are recognised from grey values, and swapped sequences from the likeliest assignment."""

import numpy as np
import pytest

from brats_mm.domain.modality import Modality
from brats_mm.trust.input_checks.coarse import CoarseImage, fit_frame
from brats_mm.trust.input_checks.contrast import ContrastModel, compute_contrast_features, find_likely_assignment

T1, T1CE, T2, FLAIR = Modality
SURE, LIKELY, RARE = np.log([0.9, 0.08, 0.01])


def likelihoods(contrast):
    """Log likelihoods of an image that is certainly of one contrast."""
    return np.array([SURE if one is contrast else RARE for one in Modality])


def test_model_without_weights_gives_equal_likelihoods():
    model = ContrastModel(np.zeros((3, 4)), np.zeros(4))
    assert model.log_likelihoods(np.ones((2, 3))) == pytest.approx(np.full((2, 4), np.log(0.25)))


def test_weights_and_bias_raise_likelihood():
    """exp(2) = 7.39 against 1 for each of three others: 7.39 / 10.39."""
    model = ContrastModel(np.array([[0, 0, 1.0, 0]]), np.array([0, 0, 1.0, 0]))
    assert np.exp(model.log_likelihoods(np.ones(1))[T2.channel]) == pytest.approx(7.389 / 10.389, rel=1e-3)


def test_features_do_not_depend_on_scale_and_offset():
    rng = np.random.default_rng(0)
    inside = np.zeros((20, 24, 20), bool)
    inside[3:17, 3:21, 3:17] = True
    values = np.where(inside, rng.normal(0, 1, inside.shape), 0).astype(np.float32)
    scaled = np.where(inside, 250 + 40 * values, 0).astype(np.float32)
    one, other = (
        compute_contrast_features(CoarseImage(image, inside), fit_frame(inside)) for image in (values, scaled)
    )
    assert one == pytest.approx(other, abs=1e-3)
    assert np.isfinite(one).all()


def test_finds_swapped_sequences():
    given = {T1: likelihoods(T2), T2: likelihoods(T1), FLAIR: likelihoods(FLAIR)}
    other = find_likely_assignment(given)
    assert other.contrasts == {T1: T2, T2: T1, FLAIR: FLAIR}
    assert other.lead == pytest.approx(2 * (SURE - RARE))


def test_correct_assignment_beats_all_others():
    other = find_likely_assignment({T1: likelihoods(T1), T1CE: np.array([LIKELY, SURE, RARE, RARE])})
    assert other.lead < 0


def test_single_sequence_is_compared_with_three_others():
    other = find_likely_assignment({T1: likelihoods(FLAIR)})
    assert other.contrasts == {T1: FLAIR}
    assert other.lead == pytest.approx(SURE - RARE)
