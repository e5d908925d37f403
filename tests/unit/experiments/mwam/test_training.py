"""MWAM in a trainer: the effect of each form on a step."""

from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from torch import Tensor, nn

from brats_mm.errors import OptionError, TrainingError
from brats_mm.experiments.mwam.training import Mwam
from brats_mm.losses.mofe import PaperMoFeLoss
from brats_mm.losses.segmentation import TaskLoss
from brats_mm.networks.dmome import DMoME
from brats_mm.networks.gating import UniformGate
from brats_mm.networks.presets import simmlm
from brats_mm.training.iteration import PairBatch, TrainingStep

NAMES = ("t1", "t1ce", "t2", "flair")
ONES = {"alpha": 1.0, "beta": 0.0}


def _batches(count: int = 3) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    whole = torch.tensor([[[True] * 4], [[True, True, True, False]]])
    result = []
    for _ in range(count):
        image = torch.randn(2, 4, 8, 8, 8, generator=generator)
        image[:, 0] = image[:, 0].cumsum(dim=1).cumsum(dim=2)  # smooth, so T1 dominates
        image[1, 3] = 0.0
        result.append(
            {
                "image": image,
                "label": (torch.rand(2, 3, 8, 8, 8, generator=generator) > 0.5).to(torch.uint8),
                "available": whole[:, 0],
                "more": whole,
                "fewer": torch.tensor([[[True, True, False, False]], [[False, True, False, False]]]),
            }
        )
    return result


def _network() -> DMoME:
    torch.manual_seed(0)
    return DMoME({name: nn.Conv3d(1, 3, 1) for name in NAMES}, UniformGate(modalities=4, outputs=3))


def _trained(
    network: nn.Module,
    *handlers: Any,
    batches: list[dict[str, Tensor]] | None = None,
    epochs: int = 1,
    **optimiser: Any,
) -> SupervisedTrainer:
    kind = optimiser.pop("kind", torch.optim.AdamW)
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=epochs,
        train_data_loader=batches or _batches(),
        network=network,
        optimizer=kind(network.parameters(), **{"lr": 0.01, **optimiser}),
        loss_function=PaperMoFeLoss(),
        prepare_batch=PairBatch(),
        iteration_update=TrainingStep(clip_norm=0),
        decollate=False,
    )
    for handler in handlers:
        handler.attach(trainer)
    trainer.run()
    return trainer


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("form", ["update", "gradient", "watch", ["update", "gradient"]])
def test_weights_of_one_give_bit_identical_training(form: Any) -> None:
    plain, weighed = _network(), _network()
    _trained(plain, epochs=2)
    _trained(weighed, Mwam(weighed, form=form, weights=ONES), epochs=2)
    for name, value in _weights(plain).items():
        assert torch.equal(weighed.state_dict()[name], value), name


@pytest.mark.parametrize("form", ["update", "gradient"])
def test_weight_of_one_half_halves_sgd_step_of_experts_only(form: str) -> None:
    start = _weights(_network())
    moved = {}
    for factor in (1.0, 0.5):
        network = _network()
        network.gate = _LearningGate()
        mwam = Mwam(network, form=form, weights={"alpha": factor, "beta": 0.0})
        _trained(network, mwam, batches=_batches(1), kind=torch.optim.SGD)
        moved[factor] = _weights(network)
    for name, value in start.items():
        whole, half = moved[1.0][name] - value, moved[0.5][name] - value
        torch.testing.assert_close(half, whole / 2, rtol=1e-3, atol=1e-7)
    assert torch.equal(moved[1.0]["gate.values"], moved[0.5]["gate.values"])
    assert not torch.equal(moved[1.0]["gate.values"], torch.zeros(4, 3))


class _LearningGate(nn.Module):
    """Gate values that are parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(4, 3))

    def forward(self, image: Tensor) -> Tensor:
        return self.values.expand(image.shape[0], -1, -1)


def test_with_adam_update_form_scales_learning_rate_and_gradient_form_has_no_effect() -> None:
    """With K = 1/2 in all experts, AdamW steps as with half the learning rate. Halved gradients have no effect."""
    results = {}
    for name, form, factor, rate in (
        ("plain", "watch", 1.0, 0.01),
        ("half rate", "watch", 1.0, 0.005),
        ("update", "update", 0.5, 0.01),
        ("gradient", "gradient", 0.5, 0.01),
    ):
        network = _network()
        mwam = Mwam(network, form=form, weights={"alpha": factor, "beta": 0.0})
        _trained(network, mwam, lr=rate, weight_decay=0.1, eps=1e-12)
        results[name] = _weights(network)["experts.t1.weight"]
    torch.testing.assert_close(results["update"], results["half rate"], rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(results["gradient"], results["plain"], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(results["update"], results["plain"], rtol=1e-4)


def test_loss_form_adds_weighted_expert_losses() -> None:
    batch = _batches(1)[0]
    network = _network()
    losses = []
    expected = PaperMoFeLoss()(
        network(batch["image"], torch.cat([batch["more"], batch["fewer"]]).flatten(0, 1)),
        batch["label"].repeat(2, 1, 1, 1, 1),
    ).item()
    for modality, name in enumerate(NAMES):
        rows = [0, 1] if name != "flair" else [0]
        answer = network.experts[name](batch["image"][rows, modality : modality + 1])
        expected += 2.0 * TaskLoss()(answer, batch["label"][rows]).item()

    mwam = Mwam(network, form="loss", weights={"alpha": 2.0, "beta": 0.0})
    trainer_losses = _Losses(losses)
    _trained(network, mwam, trainer_losses, batches=[batch])
    assert losses == pytest.approx([expected], rel=1e-4)


class _Losses:
    """Records the loss of each step."""

    def __init__(self, kept: list[float]) -> None:
        self.kept = kept

    def attach(self, engine: Any) -> None:
        engine.add_event_handler(
            Events.ITERATION_COMPLETED, lambda one: self.kept.append(float(one.state.output[0]["loss"]))
        )


def test_ratios_and_weights_are_logged_per_modality(caplog: pytest.LogCaptureFixture) -> None:
    network = _network()
    mwam = Mwam(network, ratio={"relative_sigma": 0.01})
    with caplog.at_level("INFO"):
        trainer = _trained(network, mwam)
    metrics = trainer.state.metrics
    assert {f"{kind}_{name}" for kind in ("frm", "mwam") for name in NAMES} <= metrics.keys()
    assert metrics["frm_t1"] == max(metrics[f"frm_{name}"] for name in NAMES)
    assert metrics["mwam_t1"] == min(metrics[f"mwam_{name}"] for name in NAMES)
    assert metrics["mwam_mean"] == pytest.approx(sum(metrics[f"mwam_{name}"] for name in NAMES) / 4)
    assert "Frequency ratios: t1 " in caplog.text


def test_sequence_missing_from_batch_has_no_ratio_and_weight_one() -> None:
    batches = _batches()
    for batch in batches:
        batch["available"] = torch.tensor([[True, True, True, False]] * 2)
        batch["more"] = batch["available"][:, None]
    network = _network()
    mwam = Mwam(network)
    trainer = _trained(network, mwam, batches=batches)
    assert "frm_flair" not in trainer.state.metrics
    assert trainer.state.metrics["mwam_flair"] == 1.0


def test_bank_is_part_of_state() -> None:
    network = _network()
    first, second = Mwam(network), Mwam(network)
    _trained(network, first)
    second.load_state_dict(first.state_dict())
    assert second.current() == first.current() != dict.fromkeys(NAMES, 1.0)


def test_modalities_may_be_separate_tensors() -> None:
    """As in avMNIST: two keys of the batch, and images without a background."""
    network = nn.ModuleDict({"experts": nn.ModuleDict({"image": nn.Linear(1, 1), "audio": nn.Linear(1, 1)})})
    mwam = Mwam(network, keys=["image", "audio"], inside="all", form="watch")
    engine = type("Engine", (), {})()
    generator = torch.Generator().manual_seed(0)
    engine.state = type("State", (), {})()
    engine.state.batch = {
        "image": torch.rand(2, 1, 28, 28, generator=generator),
        "audio": torch.rand(2, 1, 20, 20, generator=generator),
        "available": torch.tensor([[True, False], [True, True]]),
    }
    mwam._measure(engine)
    assert bool(mwam.bank.ratios.isfinite().all())


def test_rejects_batch_without_availability() -> None:
    batches = [{key: value for key, value in _batches(1)[0].items() if key != "available"}]
    network = _network()
    with pytest.raises(TrainingError, match="Add it to the keys of SelectItemsd"):
        _trained(network, Mwam(network), batches=batches)


def test_ratios_use_availability_before_dropping() -> None:
    """Batches of MMP contain both, and ratios are computed on complete inputs."""
    batches = _batches(1)
    batches[0]["present"] = torch.tensor([[True] * 4, [True, True, True, False]])
    network, dropped = _network(), torch.tensor([[True, False, False, False]] * 2)
    batches[0]["available"] = dropped
    trainer = _trained(network, Mwam(network), batches=batches)
    assert {f"frm_{name}" for name in NAMES} <= trainer.state.metrics.keys()


def test_unknown_branches_error_lists_branches() -> None:
    with pytest.raises(OptionError, match="The DMoME has no branches 'encoders', only experts, gate, output_layer"):
        Mwam(_network(), branches="encoders")


@pytest.mark.parametrize("level", ["probability", "feature"])
def test_loss_form_rejects_mixtures_of_other_levels(level: str) -> None:
    """Its task loss takes logits, and would take probabilities for logits without an error."""
    network = simmlm("light", level=level)
    with pytest.raises(OptionError, match="needs branches that return logits, but this DMoME mixes"):
        Mwam(network, form=["gradient", "loss"])
    Mwam(network, form="update")


def test_rejects_unknown_forms() -> None:
    with pytest.raises(OptionError, match=r"form is 'updates'\. Choose from update, gradient, loss, watch"):
        Mwam(_network(), form="updates")
