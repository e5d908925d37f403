"""Compare the arithmetic speed of the shipped experts with a large matrix product in the same precision, by layer.

    python benchmarks/roofline.py [--backends openvino torch] [--repeat 5] [-o roofline.json]

The roof is the best time of a product of two 2048 x 2048 matrices on the same threads and in the same precision. An
expert gets a window of random voxels: 96 x 96 x 96 for the cross-sequence expert, and 160 x 192 x 160, a usual brain,
for a modality expert. The operations counted are those of its convolutions. OpenVINO reports the time of each layer in
a separate pass, fused with what it fuses. The weights are random, which does not change the time. A convolution by
Winograd's method can exceed the roof.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import torch
from torch import Tensor, nn

from brats_mm.domain.modality import Modality
from brats_mm.networks.cross_mixture import CrossSequenceMixture
from brats_mm.networks.presets import cross_sequence

SIDE = 2048
WINDOWS = {"flair": (1, 1, 160, 192, 160), "cross": (1, 4, 96, 96, 96)}


def peak_gflops(precision: str, repeat: int) -> float:
    """Return the GFLOP/s of a large matrix product."""
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    layer, other = (torch.randn(SIDE, SIDE).to(kind) for _ in range(2))
    layer @ other
    return 2 * SIDE**3 / min(_seconds(lambda: layer @ other, repeat)) / 1e9


def flops_by_layer(network: nn.Module, *inputs: Tensor) -> dict[str, int]:
    """Return the floating-point operations of each convolution: two per multiplication."""
    made: dict[str, int] = {}

    def count(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
            weight = module.get_parameter("weight")
            voxels = given[0][0, 0].numel() if isinstance(module, nn.ConvTranspose3d) else result[0, 0].numel()
            made[name] = 2 * voxels * weight.numel()

        return hook

    kinds = (nn.Conv3d, nn.ConvTranspose3d)
    hooks = [m.register_forward_hook(count(name)) for name, m in network.named_modules() if isinstance(m, kinds)]
    with torch.inference_mode():
        network(*inputs)
    for hook in hooks:
        hook.remove()
    return made


def openvino_layers(request: Any) -> list[dict[str, Any]]:
    """Return the layers of the last inference with their kernel and time, slowest first."""
    layers = [
        {
            "layer": layer.node_name,
            "kind": layer.node_type,
            "kernel": layer.exec_type,
            "ms": layer.real_time.total_seconds() * 1e3,
        }
        for layer in request.profiling_info
        if layer.real_time.total_seconds() > 0
    ]
    return sorted(layers, key=lambda layer: -layer["ms"])


def openvino_pass(
    network: CrossSequenceMixture, expert: str, inputs: tuple[Tensor, ...], repeat: int
) -> dict[str, Any]:
    """Time an expert in OpenVINO with the settings of the backend, and once more with the time of each layer."""
    from brats_mm.inference.openvino_backend import CPU, OpenVinoCrossSequenceBackend

    backend = OpenVinoCrossSequenceBackend(network)
    arrays = [layer.float().numpy() for layer in inputs]
    plain = backend._compile(expert).create_infer_request()
    plain.infer(arrays)
    seconds = _seconds(lambda: plain.infer(arrays, share_inputs=True), repeat)
    counted = backend._core.compile_model(
        backend._build_graph(expert), CPU, {**backend._choose_options(), "PERF_COUNT": True}
    )
    request = counted.create_infer_request()
    for _ in range(2):
        request.infer(arrays)
    return {"precision": backend.precision, "s": statistics.median(seconds), "layers": openvino_layers(request)}


def torch_pass(network: CrossSequenceMixture, expert: str, inputs: tuple[Tensor, ...], repeat: int) -> dict[str, Any]:
    """Time an expert in PyTorch with the settings of the backend."""
    from brats_mm.inference.cross_sequence_backend import TorchCrossSequenceBackend

    backend = TorchCrossSequenceBackend(network, torch.device("cpu"))
    window = inputs[0].contiguous(memory_format=torch.channels_last_3d)

    def run() -> Tensor:
        if expert == "cross":
            return backend.compute_joint_contribution(window, inputs[1])
        return backend.compute_contribution(Modality(expert), window)

    with torch.inference_mode():
        run()
        seconds = _seconds(run, repeat)
    return {"precision": "float32", "s": statistics.median(seconds), "layers": []}


def _seconds(run: Callable[[], object], repeat: int) -> list[float]:
    made = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        made.append(time.perf_counter() - start)
    return made


def measure(backends: list[str], repeat: int, windows: dict[str, tuple[int, ...]]) -> list[dict[str, Any]]:
    """Return a row for each backend and expert."""
    torch.manual_seed(0)
    network = cross_sequence().eval().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    rows = []
    for expert, shape in windows.items():
        module = network.cross if expert == "cross" else network.get_submodule(f"experts.{expert}")
        inputs = (torch.randn(shape), torch.ones(1, 4, dtype=torch.bool))[: 2 if expert == "cross" else 1]
        flops = flops_by_layer(module, *inputs)
        for backend in backends:
            run = openvino_pass if backend == "openvino" else torch_pass
            row = run(network, expert, inputs, repeat)
            row |= {"backend": backend, "expert": expert, "window": list(shape), "gflop": sum(flops.values()) / 1e9}
            row["gflop_by_layer"] = {name: round(value / 1e9, 3) for name, value in flops.items()}
            row["gflops"] = row["gflop"] / row["s"]
            row["roof_gflops"] = peak_gflops(row["precision"], repeat)
            row["share"] = row["gflops"] / row["roof_gflops"]
            rows.append(row)
    return rows


def table(rows: list[dict[str, Any]], slowest: int = 12) -> str:
    """Format the rows, and the slowest layers of each, as Markdown."""
    lines = ["| backend | expert | precision | GFLOP | s | GFLOP/s | matrix product | share |"]
    lines.append("|---|---|---|---:|---:|---:|---:|---:|")
    lines += [
        f"| {row['backend']} | {row['expert']} | {row['precision']} | {row['gflop']:.1f} | {row['s']:.3f} | "
        f"{row['gflops']:.0f} | {row['roof_gflops']:.0f} | {100 * row['share']:.0f} % |"
        for row in rows
    ]
    for row in rows:
        if row["layers"]:
            whole = sum(layer["ms"] for layer in row["layers"])
            kinds: dict[str, float] = {}
            for layer in row["layers"]:
                kinds[layer["kind"]] = kinds.get(layer["kind"], 0) + layer["ms"]
            lines += ["", f"{row['backend']}, {row['expert']}: time by kind of layer, then the slowest layers", ""]
            lines += ["| layer | kernel | ms | share |", "|---|---|---:|---:|"]
            for kind, ms in sorted(kinds.items(), key=lambda layer: -layer[1])[:6]:
                lines.append(f"| all {kind} | | {ms:.1f} | {100 * ms / whole:.0f} % |")
            for layer in row["layers"][:slowest]:
                name = f"{layer['kind']} {layer['layer']}"
                lines.append(f"| {name} | {layer['kernel']} | {layer['ms']:.1f} | {100 * layer['ms'] / whole:.0f} % |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", nargs="+", default=["openvino", "torch"], choices=["openvino", "torch"])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path, help="JSON file for all figures")
    options = machine.parse(parser)
    rows = measure(options.backends, options.repeat, WINDOWS)
    print(table(rows))
    if options.output:
        options.output.write_text(json.dumps({"machine": options.machine, "rows": rows}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
