"""Run the experts of a mixture in OpenVINO on the CPU."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch
from torch import Tensor, nn

from brats_mm.domain.modality import Modality
from brats_mm.errors import OptionError
from brats_mm.inference.cross_sequence_backend import restore_full_resolution
from brats_mm.inference.openvino_cache import CompiledCache, locate_cache_folder
from brats_mm.inference.openvino_graph import (
    GRAPH_VERSION,
    build_graph,
    build_joint_graph,
    build_lattice_graph,
    is_convertible,
)
from brats_mm.networks.cross_mixture import CrossSequenceMixture
from brats_mm.networks.cross_sequence import CrossSequenceExpert
from brats_mm.networks.split_cross_sequence import SplitCrossSequenceExpert
from brats_mm.networks.subvoxel import SubvoxelExpert

logger = logging.getLogger(__name__)

CPU = "CPU"


def runs_in_openvino(network: nn.Module) -> bool:
    """Return whether all experts of a mixture can be converted to graphs."""
    experts = getattr(network, "experts", None)
    return isinstance(experts, nn.ModuleDict) and all(is_convertible(expert) for expert in experts.values())


def choose_precision() -> str:
    """Return `bfloat16` if the processor supports it, else `float32`."""
    return "bfloat16" if "BF16" in ov.Core().get_property(CPU, "OPTIMIZATION_CAPABILITIES") else "float32"


class OpenVinoBackend:
    """Run the experts in OpenVINO, and the gate (a thousandth of the work) and the mixing in PyTorch.

    An expert is compiled when first used, so missing sequences cost nothing, and with dynamic shapes, so one
    compilation serves all boxes. Compiled experts are cached in the user's cache folder.

    Args:
        network: a mixture for which `runs_in_openvino` is true.
        weights_sha256: hash that identifies the weights in the cache. Empty disables the cache.
        precision: `float32` or `bfloat16`.
        folder: folder of the cache. Defaults to the user's cache folder.

    Raises:
        OptionError: OpenVINO cannot run this network.
    """

    name = "openvino"

    def __init__(
        self, network: nn.Module, *, weights_sha256: str = "", precision: str | None = None, folder: Path | None = None
    ) -> None:
        if not runs_in_openvino(network):
            raise OptionError(
                "The backend openvino only runs mixtures of U-Net experts, and this bundle has another network. "
                "Use --backend torch."
            )
        self.device = torch.device("cpu")
        self.precision = precision or choose_precision()
        self._network = network.cpu()
        self._core = ov.Core()
        key = (weights_sha256, ov.__version__, str(GRAPH_VERSION), self.precision, self._read_processor_name())
        self._cache = CompiledCache(folder or locate_cache_folder(), key) if weights_sha256 else None
        self._requests: dict[str, ov.InferRequest] = {}

    def compute_contribution(self, modality: Modality, window: Tensor) -> Tensor:
        request = self._request(modality.value)
        results = request.infer([np.ascontiguousarray(window.numpy())], share_inputs=True)
        return torch.from_numpy(results[0])

    def compute_gate_values(self, image: Tensor) -> Tensor:
        values: Tensor = self._network.get_submodule("gate")(image)
        return values

    def compute_logits(self, mixture: Tensor) -> Tensor:
        logits: Tensor = self._network.get_submodule("output_layer")(mixture)
        return logits

    def move_to(self, device: torch.device) -> "OpenVinoBackend":
        """Return this backend, which only runs on the CPU."""
        assert device.type == "cpu"
        return self

    def _request(self, name: str) -> ov.InferRequest:
        if name not in self._requests:
            self._requests[name] = self._compile(name).create_infer_request()
        return self._requests[name]

    def _build_graph(self, name: str) -> ov.Model:
        return build_graph(self._network.get_submodule(f"experts.{name}"))

    def _compile(self, name: str) -> ov.CompiledModel:
        options = self._choose_options()
        model = self._cache.load(name) if self._cache else None
        if model is not None:
            try:
                return self._core.import_model(model, CPU, options)
            except RuntimeError as error:
                logger.warning("Recompiling a model that cannot be loaded (%s).", error)
        compiled = self._core.compile_model(self._build_graph(name), CPU, options)
        if self._cache:
            self._cache.store(name, compiled.export_model().getvalue())
        return compiled

    def _choose_options(self) -> dict[str, Any]:
        """Return the options: one window at a time, on as many threads as PyTorch uses (see OMP_NUM_THREADS).

        Threads are not pinned to cores, because several processes on one machine would be pinned to the same cores.
        """
        return {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bfloat16" else "f32",
        }

    def _read_processor_name(self) -> str:
        return str(self._core.get_property(CPU, "FULL_DEVICE_NAME"))


class OpenVinoCrossSequenceBackend(OpenVinoBackend):
    """Run all experts of a mixture with a cross-sequence expert in OpenVINO.

    Only the last expert keeps its intermediate results. The others stay compiled: when OpenVINO deletes a compiled
    model, it returns all free memory of the process to the system, and the next expert waits for new pages.

    Takes the arguments of `OpenVinoBackend`.
    """

    JOINT = "cross"
    _last: str | None = None

    def _request(self, name: str) -> ov.InferRequest:
        if self._last is not None and self._last != name:
            self._requests[self._last].get_compiled_model().release_memory()
        self._last = name
        return super()._request(name)

    def compute_lattice_contribution(self, modality: Modality, window: Tensor) -> Tensor:
        """Return the output of one expert before its refinement, as in `CrossSequenceBackend`."""
        request = self._request(modality.value)
        request.infer([np.ascontiguousarray(window.numpy())], share_inputs=True, share_outputs=True)
        return _copy_output(request.get_output_tensor(0))

    def compute_contribution(self, modality: Modality, window: Tensor) -> Tensor:
        return restore_full_resolution(self.compute_lattice_contribution(modality, window), window.shape[2:])

    def compute_joint_contribution(self, window: Tensor, available: Tensor) -> Tensor:
        """Return the logits of the cross-sequence expert for windows (b, m, h, w, d) with availability (b, m)."""
        inputs = [np.ascontiguousarray(window.numpy()), available.numpy().astype(np.float32)]
        results = self._request(self._choose_joint_name(available)).infer(inputs, share_inputs=True)
        return torch.from_numpy(results[0])

    def _choose_joint_name(self, available: Tensor) -> str:
        """Return the name of the cross-sequence expert, of two the one for this subset."""
        cross = self._network.get_submodule(self.JOINT)
        if isinstance(cross, SplitCrossSequenceExpert):
            return f"{self.JOINT}.{cross.choose_expert_name(available)}"
        return self.JOINT

    def compute_case_weights(self, small: Tensor, available: Tensor) -> Tensor:
        """Return the gate weights (b, m + 1, c) for a case's thumbnail (b, m, 16, 16, 16)."""
        assert isinstance(self._network, CrossSequenceMixture)
        return self._network.compute_thumbnail_weights(small, available)

    def move_to(self, device: torch.device) -> "OpenVinoCrossSequenceBackend":
        """Return this backend, which only runs on the CPU."""
        assert device.type == "cpu"
        return self

    def _build_graph(self, name: str) -> ov.Model:
        if name.startswith(self.JOINT):
            joint = self._network.get_submodule(name)
            assert isinstance(joint, CrossSequenceExpert)
            return build_joint_graph(joint)
        expert = self._network.get_submodule(f"experts.{name}")
        if isinstance(expert, SubvoxelExpert):
            return build_lattice_graph(expert, bfloat16=self.precision == "bfloat16")
        return build_graph(expert)


def _copy_output(tensor: ov.Tensor) -> Tensor:
    """Return a float32 copy of an output, which the next inference overwrites."""
    values = tensor.data
    if tensor.element_type == ov.Type.bf16:  # NumPy has no bfloat16, so OpenVINO declares the bits as float16
        return torch.from_numpy(values.view(np.int16)).view(torch.bfloat16).float()
    return torch.from_numpy(values.astype(np.float32))
