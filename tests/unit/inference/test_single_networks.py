"""Networks other than mixtures predict all subsets at once and report no importance."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from brats_mm.domain.availability import SUBSETS, Availability
from brats_mm.domain.case import Case
from brats_mm.domain.modality import Modality
from brats_mm.domain.options import OutputOptions
from brats_mm.domain.prediction import ModelIdentity
from brats_mm.domain.volume import Grid, Volume
from brats_mm.inference.backend import TorchBackend
from brats_mm.inference.choice import choose_backend
from brats_mm.inference.predictor import WITHOUT_IMPORTANCE, Predictor
from brats_mm.inference.single_backend import SingleBackend, create_torch_backend, predict_windows
from brats_mm.networks.single import SingleNetwork
from brats_mm.outputs.folder import OutputFolder
from brats_mm.outputs.results import select_supported_outputs, write_results
from tests.fakes.networks import tiny_mixture

CPU = torch.device("cpu")
MODEL = ModelIdentity("whole", "0", "", 0)


class MeanOfShown(SingleNetwork):
    """A network whose logits are the mean of the available sequences, for all regions."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(3))

    def predict_views(self, image: Tensor, views: Tensor) -> Tensor:
        share = views.float().flatten(0, 1)[:, :, None, None, None]
        mean = (image.repeat(len(views), 1, 1, 1, 1) * share).sum(1, keepdim=True) / share.sum(1, keepdim=True)
        return mean.expand(-1, 3, -1, -1, -1) + self.bias[:, None, None, None]

    def logit_bias(self) -> nn.Parameter:
        return self.bias


@pytest.fixture
def case() -> Case:
    rng = np.random.default_rng(0)
    grid = Grid((36, 36, 36), np.diag([1.0, 1.0, 1.0, 1.0]))
    volumes = {}
    for modality in Modality:
        voxels = np.zeros(grid.shape, np.float32)
        voxels[4:32, 4:32, 4:32] = rng.uniform(50, 150, (28, 28, 28))
        volumes[modality] = Volume(voxels, grid)
    return Case("made", volumes, grid)


def test_each_subset_has_its_prediction_and_no_weights() -> None:
    image = torch.arange(4.0).reshape(1, 4, 1, 1, 1).expand(2, 4, 2, 2, 2)
    logits, weights = predict_windows(SingleBackend(MeanOfShown().requires_grad_(False), CPU), image, SUBSETS)
    assert weights.shape == (15, 2, 0, 3)
    for logit, subset in zip(logits, SUBSETS, strict=True):
        assert float(logit.mean()) == pytest.approx(np.mean([modality.channel for modality in subset]))


def test_progress_counts_requested_subsets() -> None:
    reported: list[None] = []
    predict_windows(
        SingleBackend(MeanOfShown(), CPU), torch.ones(1, 4, 2, 2, 2), SUBSETS[:2], lambda: reported.append(None)
    )
    assert len(reported) == 2


def test_network_determines_backend() -> None:
    assert isinstance(create_torch_backend(MeanOfShown(), CPU), SingleBackend)
    assert isinstance(create_torch_backend(tiny_mixture(), CPU), TorchBackend)
    assert isinstance(choose_backend("auto", MeanOfShown().eval(), CPU), SingleBackend)


def test_prediction_has_no_importance_and_reports_it(case: Case) -> None:
    predictor = Predictor(MeanOfShown().eval().requires_grad_(False), MODEL, CPU)
    wanted: list[Availability] = [case.available, frozenset({Modality.T2})]
    for subset, prediction in predictor.predict_subsets(case, wanted).items():
        assert prediction.case.available == subset
        assert not prediction.importance.known
        assert prediction.importance.weights == {}
        assert WITHOUT_IMPORTANCE in prediction.warnings


def test_results_state_that_importance_is_unknown(case: Case, tmp_path: Path) -> None:
    predictor = Predictor(MeanOfShown().eval().requires_grad_(False), MODEL, CPU)
    prediction = predictor.predict(case)
    options = OutputOptions(importance_maps=True, report=True)
    with OutputFolder(tmp_path) as out:
        write_results(prediction, out, options, seconds={})

    importance = json.loads((tmp_path / "importance.json").read_text())
    assert importance["weights"] == {}
    assert "has no gate weights" in importance["meaning"]
    assert "has no gate weights" in (tmp_path / "report.html").read_text()
    assert {path.name for path in tmp_path.iterdir()} == set(
        select_supported_outputs(options, prediction).names(case.available)
    )
