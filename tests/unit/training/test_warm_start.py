"""Mixtures load their experts by name, and errors for missing experts name the training command."""

from pathlib import Path

import pytest
import torch
from torch import nn

from brats_mm.errors import BundleError
from brats_mm.experiments.mmp.network import Decoder, MaskedProjectionNetwork
from brats_mm.networks.dmome import DMoME
from brats_mm.networks.expert import Encoder, UNetExpert
from brats_mm.networks.gating import UniformGate
from brats_mm.networks.presets import expert, simmlm
from brats_mm.training.warm_start import load_experts, load_weights, move_to_device, warm_start

MODALITIES = ("t1", "t1ce", "t2", "flair")


def _mixture() -> DMoME:
    return DMoME({name: UNetExpert([2, 2]) for name in MODALITIES}, UniformGate(modalities=4, outputs=3))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Checkpoints of four different experts."""
    for number, name in enumerate(MODALITIES):
        torch.manual_seed(number)
        torch.save(UNetExpert([2, 2]).state_dict(), tmp_path / f"expert_{name}.pt")
    return tmp_path


def test_each_expert_starts_from_its_checkpoint(folder: Path) -> None:
    mixture = load_experts(_mixture(), folder)

    for name in MODALITIES:
        saved = torch.load(folder / f"expert_{name}.pt", weights_only=True)
        loaded = mixture.get_submodule(f"experts.{name}").state_dict()
        assert all(torch.equal(loaded[key], saved[key]) for key in saved)


def test_weights_are_unchanged_without_folder(folder: Path) -> None:
    mixture = _mixture()
    before = {key: value.clone() for key, value in mixture.state_dict().items()}

    assert load_experts(mixture, None) is mixture
    assert load_experts(mixture, "none") is mixture, "the word that MONAI's command line does not drop"
    assert all(torch.equal(value, before[key]) for key, value in mixture.state_dict().items())


def test_error_names_missing_experts_and_training_command(folder: Path) -> None:
    (folder / "expert_t1.pt").unlink()
    (folder / "expert_t2.pt").unlink()
    with pytest.raises(BundleError, match=r"lacks expert_t1\.pt, expert_t2\.pt\. .*--stage experts --modality t1"):
        load_experts(_mixture(), folder)


def test_rejects_expert_of_other_size_with_remedy(folder: Path) -> None:
    torch.save(UNetExpert([4, 4]).state_dict(), folder / "expert_flair.pt")
    with pytest.raises(
        BundleError, match=r"expert_flair\.pt does not hold weights of this bundle's FLAIR expert .*--modality flair"
    ):
        load_experts(_mixture(), folder)


def test_rejects_damaged_file(folder: Path) -> None:
    (folder / "expert_t1ce.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(BundleError, match="T1ce expert"):
        load_experts(_mixture(), folder)


def test_kernels_are_channels_last() -> None:
    network = move_to_device(nn.Conv3d(4, 4, kernel_size=3), "cpu")

    assert next(network.parameters()).is_contiguous(memory_format=torch.channels_last_3d)


def test_mixture_starts_from_half_precision_checkpoint(tmp_path: Path) -> None:
    torch.manual_seed(0)
    released = _mixture()
    torch.save({name: value.half() for name, value in released.state_dict().items()}, tmp_path / "model.pt")

    started = warm_start(_mixture(), experts_dir=tmp_path / "nowhere", initial_weights=tmp_path / "model.pt")

    for name, value in started.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, released.state_dict()[name].half().float())


def test_error_names_checkpoint_that_does_not_fit(tmp_path: Path) -> None:
    torch.save({"other": torch.zeros(1)}, tmp_path / "model.pt")

    with pytest.raises(BundleError, match=r"model\.pt does not hold weights .* omit --initial_weights"):
        load_weights(_mixture(), tmp_path / "model.pt")


@pytest.mark.parametrize("level", ["probability", "feature"])
def test_finds_experts_inside_wrappers_of_other_mixing_levels(tmp_path: Path, level: str) -> None:
    torch.manual_seed(0)
    for name in MODALITIES:
        torch.save(expert().state_dict(), tmp_path / f"expert_{name}.pt")

    mixture = warm_start(simmlm(level=level), experts_dir=tmp_path)

    saved = torch.load(tmp_path / "expert_t2.pt", weights_only=True)
    loaded = mixture.get_submodule("experts.t2.expert").state_dict()
    assert all(torch.equal(loaded[key], saved[key]) for key in saved)


def test_experts_can_come_from_whole_mixture(tmp_path: Path) -> None:
    torch.manual_seed(0)
    given = _mixture()
    torch.save({name: value.half() for name, value in given.state_dict().items()}, tmp_path / "model.pt")
    torch.manual_seed(1)

    mixture = load_experts(_mixture(), tmp_path / "model.pt")

    requested = given.experts.state_dict()
    for name, value in mixture.experts.state_dict().items():
        assert torch.equal(value, requested[name].half().float())


def test_encoders_start_from_expert_encoders(folder: Path) -> None:
    network = MaskedProjectionNetwork(
        {name: Encoder([2, 2]) for name in MODALITIES}, [], Decoder([8, 8], [4, 4], out_channels=3)
    )

    load_experts(network, folder)

    for name in MODALITIES:
        saved = torch.load(folder / f"expert_{name}.pt", weights_only=True)
        loaded = network.get_submodule(f"encoders.{name}").state_dict()
        assert all(torch.equal(value, saved[key]) for key, value in loaded.items())


def test_error_names_mixture_without_matching_experts(tmp_path: Path) -> None:
    torch.save({"gate.weight": torch.zeros(1)}, tmp_path / "model.pt")

    with pytest.raises(BundleError, match=r"model\.pt does not hold weights of this bundle's T1 expert"):
        load_experts(_mixture(), tmp_path / "model.pt")


def test_expert_continues_from_mixture_or_own_checkpoint(folder: Path) -> None:
    torch.manual_seed(0)
    given = _mixture()
    torch.save(given.state_dict(), folder / "model.pt")

    for path, requested in (
        ("model.pt", given.get_submodule("experts.t1ce").state_dict()),
        ("expert_t1ce.pt", torch.load(folder / "expert_t1ce.pt", weights_only=True)),
    ):
        started = load_weights(UNetExpert([2, 2]), folder / path, "t1ce").state_dict()
        assert all(torch.equal(value, requested[name]) for name, value in started.items())


def test_rejects_mixture_without_expert(tmp_path: Path) -> None:
    torch.save({"experts.image.weight": torch.zeros(1)}, tmp_path / "model.pt")

    with pytest.raises(BundleError, match=r"model\.pt does not hold .* T1ce expert .* omit --initial_weights"):
        load_weights(UNetExpert([2, 2]), tmp_path / "model.pt", "t1ce")


def test_new_experts_replace_those_of_mixture_and_others_stay(folder: Path) -> None:
    torch.manual_seed(9)
    given = _mixture()
    torch.save(given.state_dict(), folder / "model.pt")
    better = folder / "better"
    better.mkdir()
    (folder / "expert_t1ce.pt").rename(better / "expert_t1ce.pt")

    started = warm_start(
        _mixture(), experts_dir=None, initial_weights=folder / "model.pt", new_experts_dir=better
    ).state_dict()

    new = torch.load(better / "expert_t1ce.pt", weights_only=True)
    for name, value in given.state_dict().items():
        own = name.removeprefix("experts.t1ce.")
        assert torch.equal(started[name], value if own == name else new[own])


def test_rejects_folder_without_new_experts(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"contains none of expert_t1\.pt, .* omit --new_experts_dir"):
        warm_start(_mixture(), experts_dir=None, new_experts_dir=tmp_path)
