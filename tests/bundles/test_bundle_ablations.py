"""Each ablation is one override on MONAI's command line."""

import json
from pathlib import Path
from typing import Any

import fire
import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow, run
from torch import Tensor, nn

from brats_mm.domain.modality import MODALITIES
from brats_mm.losses.mofe import PaperMoFeLoss, ReleasedMoFeLoss
from brats_mm.networks.presets import expert, simmlm

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).resolve().parents[2] / "bundles" / "brats_mm_segmentation" / "configs"


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of four experts of the preset's size with different weights."""
    folder = tmp_path_factory.mktemp("experts")
    for modality in MODALITIES:
        torch.manual_seed(10 + modality.channel)
        torch.save(expert().state_dict(), folder / f"expert_{modality.value}.pt")
    return folder


@pytest.fixture
def caught(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Records of `_train`: the `workflow`, and the mixture's weights before the first step."""
    caught_values: dict[str, Any] = {}
    initialize = ConfigWorkflow.initialize

    def watched(self: ConfigWorkflow) -> Any:
        result = initialize(self)
        trainer = self.parser.get_parsed_content("train::trainer")
        caught_values["workflow"] = self

        def note(engine: Any) -> None:
            caught_values["start"] = {name: value.clone() for name, value in engine.network.state_dict().items()}

        trainer.add_event_handler(Events.STARTED, note)
        return result

    monkeypatch.setattr(ConfigWorkflow, "initialize", watched)
    return caught_values


def _train(cases: Path, experts: Path, models: Path, *override: str) -> dict[str, Tensor]:
    """Run one epoch like `python -m monai.bundle run` in this process, and return the weights."""
    settings = {
        "dataset_dir": str(cases),
        "output_dir": str(models),
        "experts_dir": str(experts),
        "device": "cpu",
        "epochs": 1,
        "val_interval": 2,  # no validation
        "spacing_mm": 4.0,
        "window": [32, 32, 64],
        "validation_window": [32, 32, 64],
    }
    models.mkdir(exist_ok=True)
    (models / "settings.json").write_text(json.dumps(settings))
    files = [str(CONFIGS / "train.json"), str(models / "settings.json")]
    fire.Fire(run, command=["--config_file", str(files), "--logging_file", "False", *override])
    weights: dict[str, Tensor] = torch.load(models / "model_last.pt", weights_only=True)["network"]
    return weights


def _pretrained(start: dict[str, Tensor], experts: Path, prefix: str = "") -> list[bool]:
    """Return whether the mixture's experts started from the checkpoints, by modality."""
    result = []
    for modality in MODALITIES:
        saved = torch.load(experts / f"expert_{modality.value}.pt", weights_only=True)
        names = {name: f"experts.{modality.value}.{prefix}{name}" for name in saved}
        result.append(all(torch.equal(start[names[name]], value) for name, value in saved.items()))
    return result


def test_default_starts_from_experts_and_trains_experts_and_gate(
    cases: Path, experts: Path, tmp_path: Path, caught: dict[str, Any]
) -> None:
    after = _train(cases, experts, tmp_path)

    assert _pretrained(caught["start"], experts) == [True] * 4
    assert not torch.equal(after["experts.t1.stem.conv1.weight"], caught["start"]["experts.t1.stem.conv1.weight"])
    assert isinstance(caught["workflow"].parser.get_parsed_content("loss"), PaperMoFeLoss)
    moved = [name for name, value in after.items() if not torch.equal(value, caught["start"][name])]
    assert any(name.startswith("gate.") for name in moved)


def test_without_pretraining_experts_start_from_random_weights(
    cases: Path, experts: Path, tmp_path: Path, caught: dict[str, Any]
) -> None:
    _train(cases, experts, tmp_path, "--experts_dir", "none")
    assert _pretrained(caught["start"], experts) == [False] * 4


def test_static_mean_averages_available_experts(
    cases: Path, experts: Path, tmp_path: Path, caught: dict[str, Any]
) -> None:
    after = _train(cases, experts, tmp_path, "--network_def::weighting", "mean")

    assert _pretrained(caught["start"], experts) == [True] * 4
    network = simmlm(weighting="mean")
    network.load_state_dict(after)
    weights = network.compute_gate_weights(torch.rand(1, 4, 32, 32, 64), torch.tensor([[True, False, True, False]]))
    assert torch.equal(weights[0, :, 0], torch.tensor([0.5, 0.0, 0.5, 0.0]))


@pytest.mark.parametrize("level", ["probability", "feature"])
def test_other_mixing_level_starts_from_experts(
    cases: Path, experts: Path, tmp_path: Path, caught: dict[str, Any], level: str
) -> None:
    after = _train(cases, experts, tmp_path, "--network_def::level", level)

    assert _pretrained(caught["start"], experts, "expert.") == [True] * 4
    simmlm(level=level).load_state_dict(after)
    name = "experts.flair.expert.stem.conv1.weight"
    assert not torch.equal(after[name], caught["start"][name])
    assert ("output_layer.weight" in after) == (level == "feature")


def _losses(loss: nn.Module) -> tuple[float, float]:
    """Return the losses of a pair whose larger subset is worse, and of the same views in order."""
    target = torch.ones(1, 3, 4, 4, 4)
    good, bad = torch.full_like(target, 4.0), torch.full_like(target, -4.0)
    both = torch.cat([target, target])
    return float(loss(torch.cat([bad, good]), both)), float(loss(torch.cat([good, bad]), both))


def test_ranking_can_be_disabled(cases: Path, experts: Path, tmp_path: Path, caught: dict[str, Any]) -> None:
    _train(cases, experts, tmp_path, "--ranking_weight", "0")

    violated, ordered = _losses(caught["workflow"].parser.get_parsed_content("loss"))
    assert violated == pytest.approx(ordered)
    violated, ordered = _losses(PaperMoFeLoss())
    assert violated > ordered + 0.1


def test_loss_of_released_code(cases: Path, experts: Path, tmp_path: Path, caught: dict[str, Any]) -> None:
    _train(cases, experts, tmp_path, "--loss::_target_", "brats_mm.losses.mofe.ReleasedMoFeLoss")

    loss = caught["workflow"].parser.get_parsed_content("loss")
    assert isinstance(loss, ReleasedMoFeLoss)
    (released, released_order), (paper, paper_order) = _losses(loss), _losses(PaperMoFeLoss(0.2))
    assert released == pytest.approx(paper / 2), "the effective lambda: 0.1 on a mean weighs as 0.2 on a sum"
    assert released_order == pytest.approx(paper_order / 2)


def test_pairs_can_be_uniform(cases: Path, experts: Path, tmp_path: Path, caught: dict[str, Any]) -> None:
    _train(cases, experts, tmp_path, "--pair_sampler", "uniform")

    chain = caught["workflow"].parser.get_parsed_content("train::preprocessing").transforms
    sampler = next(one for one in chain if type(one).__name__ == "RandPairOfSubsetsd").set_random_state(seed=0)
    whole = {"available": torch.tensor([True] * 4)}
    share = sum(bool(sampler(whole)["more"].all()) for _ in range(2000)) / 2000
    assert share == pytest.approx(14 / 50, abs=0.03), "the released rule has 14 of 86"


def test_crops_can_be_independent(cases: Path, experts: Path, tmp_path: Path, caught: dict[str, Any]) -> None:
    _train(cases, experts, tmp_path, "--crops", "independent")

    parser = caught["workflow"].parser
    batch = next(iter(parser.get_parsed_content("train::dataloader")))
    image, label, (available,), _ = parser.get_parsed_content("train::prepare_batch")(batch, "cpu")
    assert (len(image), len(label), len(available)) == (4, 4, 4), "two cases, each with two windows"
    assert not torch.equal(image[:2], image[2:])
    assert bool((available[:2] | available[2:]).eq(available[:2]).all()), "views with more come first"
