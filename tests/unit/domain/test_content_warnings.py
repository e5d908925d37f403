"""Warnings about the outline of a skull-stripped brain whose background has one value."""

import numpy as np
import pytest
from scipy import ndimage

from brats_mm.data.phantom.head import make_phantom
from brats_mm.domain.content_warnings import warn_about_outline
from brats_mm.domain.modality import Modality
from brats_mm.domain.volume import Volume

WORDS = "of the background, as after resampling with splines or lossy compression"


@pytest.fixture(scope="module")
def head():
    images = make_phantom(3, (64, 72, 56)).images
    return {modality: Volume(np.pad(volume.data, 24), volume.grid) for modality, volume in images.items()}


def resample_in_integers(data, order):
    return np.rint(ndimage.shift(data, (0.4, 0.3, 0.2), order=order)).astype(np.int16)


def blur_like_jpeg(data):
    """Spread a faint error over a rim of the brain, as the blocks of JPEG do."""
    rim = ndimage.binary_dilation(data != 0, iterations=2) & (data == 0)
    return np.where(rim, 0.01 * np.percentile(data, 99), data)


@pytest.mark.parametrize("modality", [Modality.T1, Modality.FLAIR])
@pytest.mark.parametrize(
    "change",
    [
        lambda data: resample_in_integers(data, 3),
        lambda data: np.clip(resample_in_integers(data, 3), 0, None),
        blur_like_jpeg,
    ],
    ids=["spline", "spline without negative values", "lossy"],
)
def test_blurred_outline_gives_warning(head, modality, change):
    changed = Volume(change(head[modality].data).astype(np.float32), head[modality].grid)
    assert [one for one in warn_about_outline(modality, changed) if WORDS in one]


@pytest.mark.parametrize("modality", [Modality.T1, Modality.FLAIR])
@pytest.mark.parametrize(
    "change",
    [
        lambda data: data,
        lambda data: resample_in_integers(data, 1),
        lambda data: np.where(data != 0, (data - data[data != 0].mean()) / data[data != 0].std(), 0),
    ],
    ids=["as it is", "linear", "z-scores"],
)
def test_clear_outline_gives_no_warning(head, modality, change):
    changed = Volume(change(head[modality].data).astype(np.float32), head[modality].grid)
    assert not [one for one in warn_about_outline(modality, changed) if WORDS in one]
