"""Prediction of a case on its own grid."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from brats_mm.domain.availability import SUBSETS
from brats_mm.domain.case import Case
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.prediction import ModelIdentity
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.subset_calibration import Correction, SubsetCalibration
from brats_mm.domain.volume import Grid, Volume
from brats_mm.errors import ResourceError
from brats_mm.inference.backend import TorchBackend
from brats_mm.inference.engine import WindowSettings
from brats_mm.inference.predictor import Predictor
from brats_mm.networks.dmome import DMoME
from brats_mm.networks.gating import GatingNetwork

MODEL = ModelIdentity("fake", "0", "0" * 64, 0)


class Bright(nn.Module):
    """Predict whole tumour above 1 standard deviation, core above 2, and enhancing tumour above 3."""

    def forward(self, x):
        return 20 * (x - torch.tensor([1.0, 2.0, 3.0])[:, None, None, None])


@pytest.fixture
def predictor():
    torch.manual_seed(0)
    network = DMoME({m.value: Bright() for m in MODALITIES}, GatingNetwork(modalities=4, outputs=3)).eval()
    return Predictor(network, MODEL, torch.device("cpu"), WindowSettings(window=(64, 64, 64)))


@pytest.fixture
def case():
    """A 2 mm case with LPS axes: dim everywhere, with a bright blob of side 4 near one corner."""
    grid = Grid((32, 34, 36), np.array([[-2.0, 0, 0, 40], [0, -2, 0, 30], [0, 0, 2, -20], [0, 0, 0, 1]]))
    data = np.zeros(grid.shape, np.float32)
    data[2:-2, 2:-2, 2:-2] = 100 + np.random.default_rng(0).normal(0, 1, (28, 30, 32))
    data[6:10, 20:24, 8:12] = 300
    return Case("case", dict.fromkeys(MODALITIES, Volume(data, grid)), grid)


def test_tumour_is_at_its_input_position(predictor, case):
    """Through flips and 2 mm resampling, on the input grid."""
    labels = predictor.predict(case).labels()
    assert labels.shape == case.grid.shape
    result = np.argwhere(labels == 3)
    assert np.abs(result.mean(axis=0) - [7.5, 21.5, 9.5]).max() < 0.3
    assert 30 <= len(result) <= 120


@pytest.mark.parametrize("subset", SUBSETS)
def test_every_subset_gives_complete_prediction(predictor, case, subset):
    actual = predictor.predict(replace(case, volumes={m: case.volumes[m] for m in subset}))
    assert actual.case.available == subset
    for region in REGIONS:
        assert np.isfinite(actual.probabilities[region]).all()
        assert 0 <= actual.probabilities[region].min() <= actual.probabilities[region].max() <= 1
        assert actual.volume_ml(region) > 0
        assert sum(actual.importance.weights[m][region] for m in MODALITIES) == pytest.approx(1, abs=1e-5)
        assert all(actual.importance.weights[m][region] == 0 for m in MODALITIES if m not in subset)
    assert any("Segmented without" in warning for warning in actual.warnings) == (len(subset) < 4)
    assert any("T1ce is missing" in warning for warning in actual.warnings) == (Modality.T1CE not in subset)


def test_foreground_temperature_keeps_outline_on_other_grid(predictor, case):
    """The model works at 1 mm and the case at 2 mm. The temperature divides the logit on the input grid."""
    plain = predictor.predict(case)
    unsure = SubsetCalibration(
        1, {case.available: {region: Correction(foreground_temperature=7.0) for region in REGIONS}}
    )
    actual = replace(predictor, model=replace(MODEL, calibration=unsure)).predict(case)

    np.testing.assert_array_equal(actual.labels(), plain.labels())
    before, after = (np.stack([one.probabilities[region] for region in REGIONS]) for one in (plain, actual))
    np.testing.assert_array_equal(after[before <= 0.5], before[before <= 0.5])
    inside = (before > 0.5) & (before < 0.99999)  # close to 1, float32 has few digits left
    assert inside.sum() > 10
    logits = np.log(before[inside] / (1 - before[inside]))
    np.testing.assert_allclose(after[inside], 1 / (1 + np.exp(-logits / 7)), rtol=1e-3)


def test_volume_is_number_of_voxels_times_voxel_size(predictor, case):
    """8 mm^3 per voxel."""
    actual = predictor.predict(case)
    assert actual.volume_ml(Region.WT) == pytest.approx(actual.mask(Region.WT).sum() * 0.008)


def test_all_subsets_at_once_match_separate_runs(predictor, case):
    """The sequences have the same brain mask, so the box is the same."""
    together = predictor.predict_subsets(case, SUBSETS)
    for subset in SUBSETS:
        alone = predictor.predict(replace(case, volumes={m: case.volumes[m] for m in subset}))
        for region in REGIONS:
            np.testing.assert_allclose(together[subset].probabilities[region], alone.probabilities[region], atol=1e-5)


class Hungry(TorchBackend):
    """Backend that runs out of memory for windows above 64 voxels."""

    def compute_contribution(self, modality, window):
        if window.shape[2] > 64:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes.")
        return super().compute_contribution(modality, window)

    def move_to(self, device):
        return self


def test_out_of_memory_reduces_windows_and_is_reported(predictor):
    grid = Grid((100, 40, 40), np.eye(4))
    data = np.random.default_rng(0).uniform(1, 2, grid.shape).astype(np.float32)
    long = Case("long", {Modality.T2: Volume(data, grid)}, grid)
    hungry = Hungry(predictor.network, torch.device("cpu"))
    actual = replace(predictor, backend=hungry, settings=WindowSettings(window=(128, 64, 64))).predict(long)
    assert actual.run.window == (64, 48, 48)
    assert any("Out of memory. The result was computed on cpu" in warning for warning in actual.warnings)


class Fails(TorchBackend):
    def __init__(self, network, error):
        super().__init__(network, torch.device("cpu"))
        self.error = error

    def compute_contribution(self, modality, window):
        raise self.error

    def move_to(self, device):
        return self


def test_insufficient_memory_is_an_error_with_advice(predictor, case):
    bottomless = Fails(predictor.network, torch.OutOfMemoryError())
    with pytest.raises(ResourceError, match="Close other programs"):
        replace(predictor, backend=bottomless).predict(case)


def test_other_errors_are_not_treated_as_out_of_memory(predictor, case):
    broken = Fails(predictor.network, RuntimeError("a fault of ours"))
    with pytest.raises(RuntimeError, match="a fault of ours"):
        replace(predictor, backend=broken).predict(case)


def test_prediction_records_device_and_backend(predictor, case):
    actual = predictor.predict(case)
    assert (actual.run.backend, actual.run.precision, actual.run.device) == ("torch", "float32", "cpu")
