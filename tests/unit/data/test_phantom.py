"""Synthetic tumour heads."""

import time

import numpy as np
import pytest

from brats_mm.data.phantom.head import Phantom, make_phantom
from brats_mm.domain.label_map import extract_regions
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import LabelConvention, Region
from brats_mm.errors import OptionError

SMALL = (80, 84, 72)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(7, SMALL)


def mean_signal(phantom: Phantom, modality: Modality, label: int) -> float:
    return float(phantom.images[modality].data[phantom.labels == label].mean())


def healthy_median(phantom: Phantom, modality: Modality) -> float:
    data = phantom.images[modality].data
    return float(np.median(data[(data > 0) & (phantom.labels == 0)]))


def test_same_seed_gives_same_head(phantom: Phantom) -> None:
    again = make_phantom(7, SMALL)
    assert np.array_equal(phantom.labels, again.labels)
    assert all(np.array_equal(phantom.images[m].data, again.images[m].data) for m in Modality)


def test_other_seed_gives_other_head(phantom: Phantom) -> None:
    other = make_phantom(8, SMALL)
    assert not np.array_equal(phantom.labels, other.labels)


def test_background_is_zero_and_equal_in_all_sequences(phantom: Phantom) -> None:
    brains = [phantom.images[m].data > 0 for m in Modality]
    assert all(np.array_equal(brains[0], brain) for brain in brains[1:])
    assert 0.1 < brains[0].mean() < 0.5
    assert not brains[0][0].any()
    assert not brains[0][:, -1].any()


def test_tumour_is_inside_brain(phantom: Phantom) -> None:
    assert (phantom.images[Modality.T1].data[phantom.labels > 0] > 0).all()


def test_labels_are_brats_2023_values(phantom: Phantom) -> None:
    assert phantom.labels.dtype == np.uint8
    assert set(np.unique(phantom.labels)) == {0, 1, 2, 3}


def test_regions_are_nested_and_not_empty(phantom: Phantom) -> None:
    regions = extract_regions(phantom.labels, LabelConvention.BRATS2023)
    assert 0 < regions[Region.ET].sum() < regions[Region.TC].sum() < regions[Region.WT].sum()


def test_enhancing_tumour_is_brightest_in_t1ce(phantom: Phantom) -> None:
    enhancing = mean_signal(phantom, Modality.T1CE, 3)
    assert enhancing > 1.5 * mean_signal(phantom, Modality.T1CE, 1)
    assert enhancing > 1.5 * mean_signal(phantom, Modality.T1CE, 2)
    assert enhancing > 1.4 * healthy_median(phantom, Modality.T1CE)


def test_oedema_is_bright_in_flair_and_t2_and_dark_in_t1(phantom: Phantom) -> None:
    assert mean_signal(phantom, Modality.FLAIR, 2) > 1.4 * healthy_median(phantom, Modality.FLAIR)
    assert mean_signal(phantom, Modality.T2, 2) > 1.2 * healthy_median(phantom, Modality.T2)
    assert mean_signal(phantom, Modality.T1, 2) < healthy_median(phantom, Modality.T1)


def test_without_enhancement_no_voxel_is_label_3() -> None:
    labels = make_phantom(7, SMALL, enhancing=False).labels
    assert set(np.unique(labels)) == {0, 1, 2}


@pytest.mark.parametrize("seed", [0, 3])
def test_tumours_have_realistic_size(seed: int) -> None:
    phantom = make_phantom(seed, (76, 96, 78), spacing_mm=(2.0, 2.0, 2.0))
    whole_ml = int((phantom.labels > 0).sum()) * phantom.grid.voxel_ml
    brain_ml = int((phantom.images[Modality.T1].data > 0).sum()) * phantom.grid.voxel_ml
    assert 30 < whole_ml < 160
    assert 1300 < brain_ml < 1900


@pytest.mark.parametrize("shape", [(48, 48, 48), (50, 64, 90)])
def test_small_grids_hold_head_with_all_labels(shape: tuple[int, int, int]) -> None:
    phantom = make_phantom(1, shape)
    assert phantom.labels.shape == shape
    assert phantom.images[Modality.FLAIR].data.shape == shape
    assert set(np.unique(phantom.labels)) == {0, 1, 2, 3}


def test_thick_slices_show_same_head() -> None:
    phantom = make_phantom(1, (76, 96, 52), spacing_mm=(2.0, 2.0, 3.0))
    assert phantom.grid.spacing_mm == pytest.approx((2.0, 2.0, 3.0))
    assert int((phantom.images[Modality.T1].data > 0).sum()) * phantom.grid.voxel_ml > 1300


def test_axes_are_left_posterior_superior(phantom: Phantom) -> None:
    assert np.array_equal(np.sign(np.diag(phantom.grid.affine)[:3]), [-1, -1, 1])


def test_signals_are_integers_in_scanner_range(phantom: Phantom) -> None:
    for modality in Modality:
        data = phantom.images[modality].data
        assert data.dtype == np.float32
        assert np.array_equal(data, np.rint(data))
        assert data.min() >= 0
        assert 500 < data.max() < 32767


def test_rejects_too_small_grid() -> None:
    with pytest.raises(OptionError, match=r"\(40, 64, 64\).*at least 48"):
        make_phantom(1, (40, 64, 64))


def test_head_of_brats_size_takes_seconds() -> None:
    start_s = time.process_time()
    phantom = make_phantom(3)
    assert phantom.labels.shape == (240, 240, 155)
    assert time.process_time() - start_s < 30  # about 2 s on one core, and several times as long on a busy machine
