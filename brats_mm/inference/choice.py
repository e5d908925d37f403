"""Choose the backend for a network."""

import importlib.util
import logging

import torch
from torch import nn

from brats_mm.domain.options import BACKENDS
from brats_mm.errors import OptionError, check_choice
from brats_mm.execution.malloc_tuning import read_address_space
from brats_mm.inference.single_backend import AnyBackend, create_torch_backend
from brats_mm.networks.cross_mixture import CrossSequenceMixture

logger = logging.getLogger(__name__)

_OPENVINO_BYTES = 15 << 28
"""Smallest address space for OpenVINO, 3.75 GiB. With less, it runs out of memory for the shipped network, unlike
PyTorch.
"""


def choose_backend(name: str, network: nn.Module, device: torch.device, *, weights_sha256: str = "") -> AnyBackend:
    """Choose a backend by name. `auto` is OpenVINO on a CPU if it is installed and supports the network, else PyTorch.

    Args:
        name: one of `BACKENDS`.
        network: a mixture in evaluation mode, or a single network, which runs in PyTorch.
        device: device to run on.
        weights_sha256: hash that identifies the weights in the cache of compiled models.

    Raises:
        OptionError: the name is unknown, or the backend cannot run this network on the device.
    """
    check_choice("The backend", name, BACKENDS)
    backend = _create_openvino(name, network, device, weights_sha256) or create_torch_backend(network, device)
    logger.info("The network runs in %s, %s, on %s.", backend.name, backend.precision, device)
    return backend


def _create_openvino(name: str, network: nn.Module, device: torch.device, weights_sha256: str) -> AnyBackend | None:
    if name == "torch" or (name == "auto" and (device.type != "cpu" or read_address_space() < _OPENVINO_BYTES)):
        return None
    if device.type != "cpu":
        raise OptionError(
            f"The backend openvino runs on the CPU, not on {device}. Use --device cpu, or --backend torch."
        )
    if importlib.util.find_spec("openvino") is None:
        if name == "auto":
            return None
        raise OptionError(
            'The backend openvino is not installed. Use --backend torch, or run: pip install "brats-mm[openvino]"'
        )
    from brats_mm.inference.openvino_backend import (
        OpenVinoBackend,
        OpenVinoCrossSequenceBackend,
        runs_in_openvino,
    )

    if name == "auto" and not runs_in_openvino(network):
        return None
    kind = OpenVinoCrossSequenceBackend if isinstance(network, CrossSequenceMixture) else OpenVinoBackend
    return kind(network, weights_sha256=weights_sha256)
