"""Training steps: availability of batches, precision, clipping and invalid losses."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from monai.handlers import from_engine
from monai.inferers import SimpleInferer
from torch import Tensor, nn
from torch.amp import GradScaler

from brats_mm.errors import TrainingError
from brats_mm.losses.mofe import PaperMoFeLoss
from brats_mm.training.iteration import (
    SKIPPED_IN_A_ROW,
    ExpertBatch,
    MixtureBatch,
    PairBatch,
    TrainingStep,
    count_images,
)
from brats_mm.training.precision import Precision, mixed_precision


class Toy(nn.Module):
    """One convolution over all channels that records its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(4, 3, kernel_size=1)
        self.seen: Tensor | None = None
        self.dtype: torch.dtype | None = None

    def forward(self, image: Tensor, available: Tensor) -> Tensor:
        self.seen = available
        logits = self.conv(image).repeat(len(available) // len(image), 1, 1, 1, 1)
        self.dtype = logits.dtype
        return logits


def _batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "image": torch.randn(2, 4, 4, 4, 4, generator=generator),
        "label": (torch.rand(2, 3, 4, 4, 4, generator=generator) > 0.5).to(torch.uint8),
        "available": torch.tensor(
            [[[True] * 4, [True, False, True, False]], [[True] * 4, [False, False, True, False]]]
        ),
        "more": torch.tensor([[[True, True, False, True]], [[True, True, True, True]]]),
        "fewer": torch.tensor([[[False, True, False, False]], [[True, False, False, True]]]),
    }


class Engine(SimpleNamespace):
    """Stand-in for MONAI's trainer that records fired events."""

    def fire_event(self, event: Any) -> None:
        self.events.append(event.name)


def _engine(network: nn.Module) -> Engine:
    return Engine(
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        loss_function=PaperMoFeLoss(),
        inferer=SimpleInferer(),
        prepare_batch=PairBatch(),
        non_blocking=False,
        state=SimpleNamespace(device=torch.device("cpu"), output=None),
        events=[],
    )


def test_expert_gets_only_image_and_target() -> None:
    image, label, args, kwargs = ExpertBatch()(_batch(), "cpu")

    assert (args, kwargs) == ((), {})
    assert label.dtype == torch.float32
    assert image.is_contiguous(memory_format=torch.channels_last_3d)


def test_mixture_gets_availability_of_each_view() -> None:
    batch = _batch()
    image, label, (available,), _ = MixtureBatch()(batch, "cpu")

    assert len(image) == 2
    assert torch.equal(available, batch["available"].transpose(0, 1).flatten(0, 1))
    assert torch.equal(label[:2], label[2:])


def test_pairs_are_views_of_one_image_with_larger_subset_first() -> None:
    batch = _batch()
    image, label, (available,), _ = PairBatch()(batch, "cpu")

    assert torch.equal(image, batch["image"])
    assert torch.equal(available, torch.cat([batch["more"][:, 0], batch["fewer"][:, 0]]))
    assert torch.equal(label[:2], label[2:])


def test_views_with_larger_subsets_come_first() -> None:
    batch = _batch()
    two = {key: torch.cat([batch[key], batch[key].flip(0)], dim=1) for key in ("more", "fewer")}
    _, label, (available,), _ = PairBatch()({**batch, **two}, "cpu")

    assert label.shape[0] == available.shape[0] == 8
    assert torch.equal(available[:4] & available[4:], available[4:])


def test_independent_crops_form_plain_batch() -> None:
    batch = _batch()
    fewer = {"image_fewer": batch["image"] + 1, "label_fewer": 1 - batch["label"]}
    image, label, (available,), _ = PairBatch()({**batch, **fewer}, "cpu")

    assert torch.equal(image, torch.cat([batch["image"], batch["image"] + 1]))
    assert torch.equal(label[2:], 1 - label[:2])
    assert torch.equal(available, torch.cat([batch["more"][:, 0], batch["fewer"][:, 0]]))
    assert (count_images(batch), count_images({**batch, **fewer})) == (2, 4)


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_step_changes_weights_and_reports_loss(precision: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    network = Toy()
    before = network.conv.weight.detach().clone()
    engine = _engine(network)

    output = TrainingStep(precision=mixed_precision(precision))(engine, _batch())

    assert network.dtype == dtype
    assert network.seen is not None
    assert network.seen.shape == (4, 4)
    assert output[0]["loss"].dtype == torch.float32
    assert not torch.equal(network.conv.weight, before)
    assert engine.events == ["FORWARD_COMPLETED", "LOSS_COMPLETED", "BACKWARD_COMPLETED", "MODEL_COMPLETED"]


def test_output_has_loss_and_each_sample() -> None:
    torch.manual_seed(0)
    output = TrainingStep()(_engine(Toy()), _batch())

    assert from_engine(["loss"], first=True)(output).ndim == 0
    assert [tuple(sample["pred"].shape) for sample in output] == [(3, 4, 4, 4)] * 4
    assert not output[0]["pred"].requires_grad


def test_gradients_are_clipped() -> None:
    torch.manual_seed(0)
    network = Toy()
    before = [parameter.detach().clone() for parameter in network.parameters()]

    TrainingStep(clip_norm=1e-3)(_engine(network), _batch())

    moved = torch.cat([(new.detach() - old).flatten() for new, old in zip(network.parameters(), before, strict=True)])
    assert float(moved.norm()) <= 0.1 * 1e-3 * 1.01


def _half(scale: float) -> Precision:
    return Precision(torch.float16, GradScaler("cpu", init_scale=scale))


def test_float16_gradients_are_clipped_after_unscaling() -> None:
    torch.manual_seed(0)
    network = Toy()
    before = [parameter.detach().clone() for parameter in network.parameters()]

    output = TrainingStep(precision=_half(1024.0), clip_norm=1e-3)(_engine(network), _batch())

    moved = torch.cat([(new.detach() - old).flatten() for new, old in zip(network.parameters(), before, strict=True)])
    assert network.dtype == torch.float16
    assert output[0]["loss"].dtype == torch.float32
    assert float(moved.norm()) == pytest.approx(0.1 * 1e-3, rel=1e-2)


def test_float16_step_equals_float32_step() -> None:
    torch.manual_seed(0)
    half, whole = Toy(), Toy()
    whole.load_state_dict(half.state_dict())

    TrainingStep(precision=_half(1024.0), clip_norm=0.0)(_engine(half), _batch())
    TrainingStep(clip_norm=0.0)(_engine(whole), _batch())

    assert torch.allclose(half.conv.weight, whole.conv.weight, atol=1e-3)


def _overflowing(network: nn.Module) -> Engine:
    engine = _engine(network)
    engine.state.epoch, engine.state.iteration = 1, 1
    engine.loss_function = lambda logits, target: (logits * 0).abs().sqrt().sum()  # slope 0 times infinity
    return engine


def test_overflowing_float16_step_is_skipped_and_halves_scale() -> None:
    torch.manual_seed(0)
    network = Toy()
    before = network.conv.weight.detach().clone()
    precision = _half(1024.0)
    step = TrainingStep(precision=precision)

    step(_overflowing(network), _batch())

    assert torch.equal(network.conv.weight, before)
    assert precision.scaler.get_scale() == 512.0

    step(_engine(network), _batch())

    assert not torch.equal(network.conv.weight, before)
    assert step.skipped == 0


def test_repeated_overflow_raises_error_with_cases() -> None:
    torch.manual_seed(0)
    network = Toy()
    step, engine = TrainingStep(precision=_half(65536.0)), _overflowing(network)
    for _ in range(SKIPPED_IN_A_ROW):
        step(engine, _batch())

    with pytest.raises(TrainingError, match=r"norm of the gradients is nan.* on one, two.* another --precision"):
        step(engine, {**_batch(), "name": ["one", "two"]})


def test_gradients_are_unchanged_without_clipping() -> None:
    torch.manual_seed(0)
    first, second = Toy(), Toy()
    second.load_state_dict(first.state_dict())

    TrainingStep(clip_norm=0.0)(_engine(first), _batch())
    TrainingStep(clip_norm=1e9)(_engine(second), _batch())

    assert torch.equal(first.conv.weight, second.conv.weight)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_loss_raises_error_with_cases_and_changes_no_weight(bad: float) -> None:
    network = Toy()
    before = network.conv.weight.detach().clone()
    engine = _engine(network)
    engine.state.epoch, engine.state.iteration = 3, 17
    engine.loss_function = lambda logits, target: logits.sum() * bad

    with pytest.raises(TrainingError, match=r"loss is (nan|-?inf) in epoch 3, step 17, on one, two\."):
        TrainingStep()(engine, {**_batch(), "name": ["one", "two"]})

    assert torch.equal(network.conv.weight, before)


@pytest.mark.parametrize(
    ("dtype", "remedy"), [(None, "another --precision"), (torch.bfloat16, "larger --window or --precision float32")]
)
def test_non_finite_gradients_change_no_weight(dtype: torch.dtype | None, remedy: str) -> None:
    network = Toy()
    before = network.conv.weight.detach().clone()
    engine = _engine(network)
    engine.state.epoch, engine.state.iteration = 1, 1
    engine.loss_function = lambda logits, target: (logits * 0).abs().sqrt().sum()  # slope 0 times infinity

    with pytest.raises(TrainingError, match=f"norm of the gradients is nan.*{remedy}"):
        TrainingStep(precision=Precision(dtype))(engine, _batch())

    assert torch.equal(network.conv.weight, before)
