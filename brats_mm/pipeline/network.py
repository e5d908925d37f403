"""Load a network from a bundle on disk."""

import importlib
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from brats_mm.data.json_file import read_json
from brats_mm.domain.prediction import ModelIdentity
from brats_mm.errors import BundleError, extract_first_line
from brats_mm.io.bundle import HASHES, Bundle, verify_hash
from brats_mm.io.bundle_trust import select_known_network
from brats_mm.pipeline.identity import identify_model

INFERENCE = "configs/inference.json"


def load_network(bundle: Bundle, *, trusted: bool = False) -> tuple[nn.Module, ModelIdentity]:
    """Load the network `network_def` of `configs/inference.json` with the bundle's weights, ready to run.

    Its voxel size is `spacing_mm` of the same config, by default 1.

    Args:
        bundle: bundle to load.
        trusted: run any code that its config refers to, and accept weights without a recorded hash.

    Raises:
        BundleError: a part of the bundle is missing, damaged, unknown, or does not match the others.
    """
    digest = verify_hash(bundle)
    if not trusted and bundle.recorded_hash() is None:
        raise BundleError(
            f"The bundle {bundle.root} has no hash of its weights in {HASHES}, so the weights cannot be verified. If "
            "you trust their source, add --trust-bundle (trust_bundle=True in Python), or record the hash with "
            "sha256sum."
        )
    network, spacing_mm = build_network(bundle, trusted=trusted)
    try:
        state = torch.load(bundle.weights, map_location="cpu", weights_only=True)
        network.load_state_dict(state)
    except Exception as error:  # (torch raises many types for a damaged file)
        reason = extract_first_line(error)[:200]
        raise BundleError(
            f"The weights {bundle.weights} do not fit the bundle's network ({reason}). Restore both."
        ) from error
    prepare_network(network)
    return network, identify_model(bundle, digest, parameters=count_parameters(network), spacing_mm=spacing_mm)


def count_parameters(network: nn.Module) -> int:
    """Return the number of a network's parameters, including frozen ones."""
    return sum(parameter.numel() for parameter in network.parameters())


def prepare_network(network: nn.Module) -> None:
    """Set a network to evaluation mode in the faster memory layout, in place."""
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    network.eval().requires_grad_(False)  # noqa: FBT003 (PyTorch's own signature)


def read_inference_config(bundle: Bundle) -> dict[str, Any]:
    """Return the content of `configs/inference.json`, unresolved.

    Raises:
        BundleError: the file is missing or not JSON.
    """
    return read_json(bundle.root / INFERENCE, BundleError, "Restore the bundle from its archive.")


def build_network(
    bundle: Bundle, config: dict[str, Any] | None = None, *, trusted: bool = False
) -> tuple[nn.Module, float]:
    """Return the network of an inference config without its weights, and its voxel size.

    Args:
        bundle: bundle that the config's paths are relative to.
        config: content of an inference config. Defaults to that of the bundle.
        trusted: whether the config may refer to any class. Otherwise, only networks of this library and PyTorch layers
            are allowed.

    Raises:
        BundleError: the config is missing, or defines no known network.
    """
    path = bundle.root / INFERENCE
    config = read_inference_config(bundle) if config is None else config
    try:
        definition = config["network_def"]
        config = config if trusted else {**select_known_network(config), "spacing_mm": config.get("spacing_mm", 1.0)}
        network = _instantiate(definition) if _is_plain(definition) else _parse_network(config, bundle)
        spacing_mm = float(config.get("spacing_mm", 1.0))
    except BundleError:
        raise
    except Exception as error:  # configs can refer to anything
        raise BundleError(
            f"{path} does not describe a network under network_def ({extract_first_line(error)[:200]}). "
            "Correct the config."
        ) from error
    if not isinstance(network, nn.Module):
        raise BundleError(
            f"network_def in {path} is a {type(network).__name__}, not a torch module. Correct the config."
        )
    return network, spacing_mm


def _is_plain(definition: Any) -> bool:
    """Return whether a definition names one known function with plain values, without references or code."""
    if not isinstance(definition, dict) or "." not in str(definition.get("_target_", "")):
        return False
    values = [value for key, value in definition.items() if key != "_target_"]
    names = all(not key.startswith("_") for key in definition if key != "_target_")
    is_plain = all(isinstance(value, str | int | float) or value is None for value in values)
    return names and is_plain and not any(isinstance(value, str) and value[:1] in "@$%" for value in values)


def _instantiate(definition: dict[str, Any]) -> Any:
    """Instantiate a plain definition like MONAI's parser, without the slow import of MONAI."""
    module, _, name = definition["_target_"].rpartition(".")
    options = {key: value for key, value in definition.items() if key != "_target_"}
    return getattr(importlib.import_module(module), name)(**options)


def _parse_network(config: dict[str, Any], bundle: Bundle) -> Any:
    from monai.bundle import ConfigParser

    parser = ConfigParser(deepcopy(config))  # it modifies its argument
    parser["bundle_root"] = str(bundle.root)
    return parser.get_parsed_content("network_def")
