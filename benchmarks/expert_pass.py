"""Time the forward pass of one expert over one window with each backend, and the time until the first pass.

    python benchmarks/expert_pass.py --window 80 96 80 --repeat 20 -o expert_pass.json

The variants are PyTorch in its default memory layout, with channels last, channels last with explicit oneDNN
convolutions (backend `torch`), channels last with `torch.compile` (needs a C++ compiler), and the OpenVINO graph
(backend `openvino`). They alternate, and each output is compared with the first.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import machine
import torch
from torch import Tensor

from brats_mm.domain.modality import Modality
from brats_mm.inference.backend import TorchBackend
from brats_mm.inference.openvino_backend import OpenVinoBackend
from brats_mm.networks.presets import simmlm

Way = Callable[[Tensor], Tensor]


def make_ways(size: str) -> dict[str, Way]:
    """Return the same random expert in each variant."""

    def network() -> torch.nn.Module:
        torch.manual_seed(0)
        return simmlm(size).eval()

    plain = network().get_submodule("experts.flair")
    last = network().to(memory_format=torch.channels_last_3d).get_submodule("experts.flair")
    compiled = torch.compile(last)
    ours = TorchBackend(network().to(memory_format=torch.channels_last_3d), torch.device("cpu"))
    graph = OpenVinoBackend(network())
    return {
        "torch, default layout": plain,
        "torch, channels last": lambda window: last(_last(window)),
        "torch, ours": lambda window: ours.compute_contribution(Modality.FLAIR, _last(window)),
        "torch.compile": lambda window: compiled(_last(window)),
        "openvino": lambda window: graph.compute_contribution(Modality.FLAIR, window),
    }


def _last(window: Tensor) -> Tensor:
    return window.contiguous(memory_format=torch.channels_last_3d)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--window", type=int, nargs=3, default=(96, 96, 96))
    parser.add_argument("--size", choices=("light", "full"), default="light")
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("-o", "--output", type=Path, default=Path("expert_pass.json"))
    options = machine.parse(parser)
    ways = make_ways(options.size)
    window = torch.randn(1, 1, *options.window, generator=torch.Generator().manual_seed(0))
    first: dict[str, float] = {}
    passes: dict[str, list[float]] = {name: [] for name in ways}
    answers: dict[str, Tensor] = {}
    with torch.inference_mode():
        for name, way in ways.items():
            start = time.perf_counter()
            answers[name] = way(window).clone()
            first[name] = time.perf_counter() - start
        for _ in range(options.repeat):
            for name, way in ways.items():
                start = time.perf_counter()
                way(window)
                passes[name].append(time.perf_counter() - start)
    truth = next(iter(answers.values()))
    rows = [
        {
            "way": name,
            "median_s": statistics.median(passes[name]),
            "first_s": first[name],
            "largest_difference": float((answers[name] - truth).abs().max()),
        }
        for name in ways
    ]
    for row in rows:
        seconds = f"{row['median_s']:8.3f} s, first {row['first_s']:7.1f} s"
        print(f"{row['way']:24}{seconds}, off by {row['largest_difference']:.1e}")
    document = {"machine": options.machine, "window": list(options.window), "rows": rows}
    options.output.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
