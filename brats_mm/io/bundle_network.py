"""From a bundle on disk to a network ready to run."""

import torch
from torch import nn

from brats_mm.domain.prediction import ModelIdentity
from brats_mm.errors import BundleError
from brats_mm.io.bundle import Bundle, checked_hash


def load_network(bundle: Bundle) -> tuple[nn.Module, ModelIdentity]:
    """The network that `configs/inference.json` names as `network_def`, with the bundle's weights, ready to run.

    The voxel size that it works at is `spacing_mm` of the same config, 1 where it is silent.

    Raises:
        BundleError: a part of the bundle is absent, damaged, or does not fit the others.
    """
    metadata, digest = bundle.metadata(), checked_hash(bundle)
    network, spacing_mm = network_of(bundle)
    try:
        state = torch.load(bundle.weights, map_location="cpu", weights_only=True)
        network.load_state_dict(state)
    except Exception as error:  # (torch raises a dozen types for a damaged file)
        message = f"The weights {bundle.weights} do not fit the bundle's network ({_first_line(error)}). Restore both."
        raise BundleError(message) from error
    # Channels-last kernels are faster on every device that 3D convolutions run on here.
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    network.eval().requires_grad_(False)  # noqa: FBT003 (PyTorch's own signature)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    identity = ModelIdentity(
        name=str(metadata.get("name", bundle.root.name)),
        version=str(metadata.get("version", "unknown")),
        weights_sha256=digest,
        parameters=parameters,
        spacing_mm=spacing_mm,
    )
    return network, identity


def network_of(bundle: Bundle) -> tuple[nn.Module, float]:
    """The network that the bundle's inference config describes, without its weights, and the voxel size it works at.

    Raises:
        BundleError: the config is absent or describes none.
    """
    from monai.bundle import ConfigParser

    path = bundle.root / "configs" / "inference.json"
    if not path.is_file():
        message = f"The bundle has no {path}. Restore the bundle from its archive."
        raise BundleError(message)
    try:
        parser = ConfigParser(ConfigParser.load_config_file(path))
        parser["bundle_root"] = str(bundle.root)
        network = parser.get_parsed_content("network_def")
        spacing_mm = float(parser.get("spacing_mm", 1.0))
    except Exception as error:  # (configs can name anything)
        message = f"{path} does not describe a network under network_def ({_first_line(error)}). Mend the config."
        raise BundleError(message) from error
    if not isinstance(network, nn.Module):
        message = f"network_def in {path} is a {type(network).__name__}, not a torch module. Mend the config."
        raise BundleError(message)
    return network, spacing_mm


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
