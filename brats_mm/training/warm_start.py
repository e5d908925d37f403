"""Initialise a network from the experts of stage 1 or from an earlier checkpoint."""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from brats_mm.domain.modality import MODALITIES
from brats_mm.errors import BundleError, extract_first_line
from brats_mm.networks.expert import Encoder
from brats_mm.training.parsing import parse_path
from brats_mm.training.record import check_same_spacing
from brats_mm.training.wrapper import TrainingWrapper

logger = logging.getLogger(__name__)


def move_to_device(network: nn.Module, device: str | torch.device) -> nn.Module:
    """Move a network to a device with channels-last 3D kernels, which are twice as fast on a CPU."""
    return network.to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload,no-any-return]


def unwrap(network: nn.Module) -> nn.Module:
    """Return the network inside the wrappers of distributed and other training."""
    inner: nn.Module = network.module if isinstance(network, DistributedDataParallel) else network
    return inner.network if isinstance(inner, TrainingWrapper) else inner


def name_expert_file(modality: str) -> str:
    """Return the file name of a modality's expert from stage 1."""
    return f"expert_{modality}.pt"


def load_experts(
    network: nn.Module, experts_dir: Path | str | None, *, spacing_mm: float | int | None = None
) -> nn.Module:
    """Initialise the experts of a network from their own checkpoints (SimMLM, stage 2).

    Args:
        network: network with `experts` or `encoders`, modules by modality name. Changed in place.
        experts_dir: folder with `expert_t1.pt`, `expert_t1ce.pt` and so on, or the checkpoint of a whole mixture. None
            or the word `none` starts from random weights. MONAI's command line drops overrides with None.
        spacing_mm: voxel size of this training run, which must equal that of the experts. None skips the comparison.

    Returns:
        The same network.

    Raises:
        BundleError: files are missing or do not fit. The message names all of them and the command that creates them.
        TrainingError: the experts were trained with another voxel size.
    """
    source = parse_path(experts_dir)
    if source is None:
        return network
    parts = _find_parts(network)
    if source.is_file():
        check_same_spacing(source, spacing_mm)
        mixture = _read(source, "mixture", _describe_remedy(list(parts)))
        for name, module in parts.items():
            _fit(
                module,
                _extract_expert(mixture, name),
                source,
                f"{_look_up_label(name)} expert",
                _describe_remedy([name]),
            )
    else:
        missing = [name for name in parts if not (source / name_expert_file(name)).is_file()]
        if missing:
            files = ", ".join(name_expert_file(name) for name in missing)
            raise BundleError(f"{source} lacks {files}. {_describe_remedy(missing)}")
        for name, module in parts.items():
            check_same_spacing(source / name_expert_file(name), spacing_mm)
            _load(module, source / name_expert_file(name), f"{_look_up_label(name)} expert", _describe_remedy([name]))
    logger.info("The experts start from %s.", source)
    return network


def _find_parts(network: nn.Module) -> dict[str, nn.Module]:
    """Return the modules to initialise by modality: experts, or encoders if all share one decoder."""
    if "encoders" in dict(network.named_children()):
        return dict(network.get_submodule("encoders").named_children())
    experts = network.get_submodule("experts")
    # At levels other than logits, the expert is inside a wrapper (networks.levels).
    return {name: dict(expert.named_children()).get("expert", expert) for name, expert in experts.named_children()}


def load_weights(
    network: nn.Module, path: Path | str | None, modality: str | None = None, *, spacing_mm: float | int | None = None
) -> nn.Module:
    """Initialise a network from a checkpoint of the same architecture, to continue its training or fine-tune it.

    Args:
        network: network to initialise. Changed in place.
        path: state dict of any floating-point type. None keeps the network's weights.
        modality: modality of the network if it is an expert. A mixture's checkpoint with that expert is accepted too.
        spacing_mm: voxel size of this training run, which must equal that of the checkpoint. None skips the comparison.

    Returns:
        The same network.

    Raises:
        BundleError: the file is missing or does not fit.
        TrainingError: the checkpoint was trained with another voxel size.
    """
    file = parse_path(path)
    if file is None:
        return network
    name = "network" if modality is None else f"{_look_up_label(modality)} expert"
    remedy = "Provide another checkpoint, or omit --initial_weights."
    check_same_spacing(file, spacing_mm)
    state = _read(file, name, remedy)
    part = {} if modality is None else _extract_expert(state, modality)
    _fit(network, part or state, file, name, remedy)
    logger.info("The %s starts from %s.", name, file)
    return network


def warm_start(
    network: nn.Module,
    *,
    experts_dir: Path | str | None,
    initial_weights: Path | str | None = None,
    new_experts_dir: Path | str | None = None,
    spacing_mm: float | int | None = None,
) -> nn.Module:
    """Initialise a mixture from a checkpoint of a whole mixture if given, else from its experts.

    Args:
        network: network to initialise. Changed in place.
        experts_dir: see `load_experts`. Ignored if `initial_weights` is given.
        initial_weights: see `load_weights`.
        new_experts_dir: folder with at least one expert that replaces that of the mixture, for an expert that was
            trained further on its own. None replaces none.
        spacing_mm: voxel size of this training run, which must equal that of all weights. None skips the comparison.

    Returns:
        The same network.

    Raises:
        BundleError: files are missing or do not fit.
    """
    if parse_path(initial_weights) is None:
        load_experts(network, experts_dir, spacing_mm=spacing_mm)
    else:
        load_weights(network, initial_weights, spacing_mm=spacing_mm)
    folder = parse_path(new_experts_dir)
    if folder is not None:
        _replace_experts(_find_parts(network), folder, spacing_mm)
    return network


def _replace_experts(parts: Mapping[str, nn.Module], folder: Path, spacing_mm: float | int | None) -> None:
    existing = [name for name in parts if (folder / name_expert_file(name)).is_file()]
    if not existing:
        names = ", ".join(name_expert_file(name) for name in parts)
        raise BundleError(
            f"{folder} contains none of {names}. Provide the folder of new experts, or omit --new_experts_dir."
        )
    remedy = "Provide another folder, or omit --new_experts_dir."
    for name in existing:
        check_same_spacing(folder / name_expert_file(name), spacing_mm)
        _load(parts[name], folder / name_expert_file(name), f"{_look_up_label(name)} expert", remedy)
    logger.info("New experts from %s: %s.", folder, ", ".join(_look_up_label(name) for name in existing))


def _extract_expert(mixture: Mapping[str, Tensor], modality: str) -> dict[str, Tensor]:
    """Return the weights of one expert of a mixture, or nothing if the mixture has no such expert."""
    begin = f"experts.{modality}."
    return {name.removeprefix(begin): value for name, value in mixture.items() if name.startswith(begin)}


def _load(network: nn.Module, path: Path, name: str, remedy: str) -> None:
    _fit(network, _read(path, name, remedy), path, name, remedy)


def _read(path: Path, name: str, remedy: str) -> Mapping[str, Tensor]:
    try:
        state: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for a damaged file
        raise _make_mismatch_error(path, name, remedy, error) from error
    return state


def _fit(network: nn.Module, state: Mapping[str, Tensor], path: Path, part_name: str, remedy: str) -> None:
    """Load the weights, without those of a decoder that the network does not have."""
    try:
        if isinstance(network, Encoder):
            state = {name: value for name, value in state.items() if name.startswith(("stem.", "down."))}
        network.load_state_dict(state)
    except Exception as error:  # the file can hold any type
        raise _make_mismatch_error(path, part_name, remedy, error) from error


def _make_mismatch_error(path: Path, name: str, remedy: str, error: Exception) -> BundleError:
    return BundleError(f"{path} does not hold weights of this bundle's {name} ({extract_first_line(error)}). {remedy}")


def _look_up_label(name: str) -> str:
    """Return the label of an MRI sequence, or the name of any other modality."""
    return next((modality.label for modality in MODALITIES if modality.value == name), name)


def _describe_remedy(modalities: list[str]) -> str:
    names = f"--modality {' '.join(modalities)}"
    return (
        f"Train them first with `brats-mm train CASES -o MODELS --stage experts {names}`, or start from random "
        "weights with --set experts_dir=none."
    )
