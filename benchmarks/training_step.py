"""Time the training step of an expert on a CPU, and compare it with a large matrix product.

    python benchmarks/training_step.py [--experts cross modality] [--repeat 5] [--no-tune-malloc] -o training_step.json

A step is the forward pass, the loss, the backward pass and the update by AdamW. The cross-sequence expert gets two
crops of 96^3 voxels, and a modality expert two of 80 x 96 x 80. Each expert has PyTorch's normalisation and ours
(`networks/normed_activation.py`), in float32 and bfloat16. The variants take turns on the same weights and crops. The
operations counted are those of the convolutions: two per multiplication in the forward pass, and twice as many in the
backward pass. The roof is that of `roofline.py`. bfloat16 is faster only if the processor supports it
(`lscpu | grep bf16`).
"""

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import machine
import torch
from roofline import flops_by_layer, peak_gflops
from torch import Tensor, nn

from brats_mm.execution.malloc_tuning import tune_malloc
from brats_mm.losses.tumour import dice_and_bce
from brats_mm.networks.normed_activation import NormedActivation
from brats_mm.networks.presets import cross_sequence, simmlm
from brats_mm.training.timed.loop import make_cross_sequence_step

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CROPS = {"cross": (2, 4, 96, 96, 96), "modality": (2, 1, 80, 96, 80)}


def build_expert(name: str) -> nn.Module:
    """Return a new cross-sequence expert or modality expert of the default sizes."""
    if name == "cross":
        return cross_sequence().get_submodule("cross")
    return simmlm("light").get_submodule("experts.flair")


def with_pytorch_norm(expert: nn.Module) -> nn.Module:
    """Copy the expert, with PyTorch's modules for normalisation and activation and the same weights."""
    other = copy.deepcopy(expert)
    for parent in list(other.modules()):
        for name, norm in list(parent.named_children()):
            if isinstance(norm, NormedActivation):
                plain = nn.GroupNorm(norm.num_groups, norm.num_channels, eps=norm.eps)
                plain.load_state_dict(norm.state_dict())
                setattr(parent, name, nn.Sequential(plain, norm.activation))
    return other


def training_step(name: str, expert: nn.Module, crops: Tensor, precision: torch.dtype) -> Callable[[], None]:
    """Return a function that runs one training step of an expert."""
    expert = expert.to(memory_format=torch.channels_last_3d).train()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(expert.parameters())
    target = (torch.rand(len(crops), 3, *crops.shape[2:]) > 0.9).float()
    available = torch.ones(len(crops), crops.shape[1], dtype=torch.bool)

    def step() -> None:
        with torch.autocast("cpu", dtype=precision, enabled=precision is not torch.float32):
            if name == "cross":
                loss = make_cross_sequence_step()(expert, crops, target, available)
            else:
                loss = dice_and_bce(expert(crops), target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def measure(experts: Sequence[str], repeat: int, sizes: dict[str, tuple[int, ...]]) -> list[dict[str, Any]]:
    """Return a row for each expert, precision and normalisation."""
    torch.manual_seed(0)
    rows: list[dict[str, Any]] = []
    roofs = {precision: peak_gflops(precision, repeat) for precision in PRECISIONS}
    for name in experts:
        expert = build_expert(name)
        crops = torch.randn(sizes[name]).contiguous(memory_format=torch.channels_last_3d)
        gflop = 3 * len(crops) * sum(flops_by_layer(expert, crops[:1]).values()) / 1e9
        steps = {
            (precision, norm): training_step(name, network, crops, PRECISIONS[precision])
            for precision in PRECISIONS
            for norm, network in (("PyTorch's", with_pytorch_norm(expert)), ("ours", copy.deepcopy(expert)))
        }
        seconds: dict[tuple[str, str], list[float]] = {variant: [] for variant in steps}
        for turn in range(repeat + 1):  # the first is a warm-up
            for variant, step in steps.items():
                start = time.perf_counter()
                step()
                if turn:
                    seconds[variant].append(time.perf_counter() - start)
        for (precision, norm), values in seconds.items():
            speed = gflop / statistics.median(values)
            row = {"expert": name, "precision": precision, "norm": norm, "s": statistics.median(values)}
            rows.append(row | {"gflop": gflop, "gflops": speed, "share": speed / roofs[precision]})
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Format the rows as Markdown."""
    lines = ["| expert | precision | normalisation | s per step | GFLOP/s | share of a matrix product |"]
    lines.append("|---|---|---|---:|---:|---:|")
    lines += [
        f"| {row['expert']} | {row['precision']} | {row['norm']} | {row['s']:.2f} | {row['gflops']:.0f} | "
        f"{100 * row['share']:.0f} % |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experts", nargs="+", default=list(CROPS), choices=list(CROPS))
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--no-tune-malloc", action="store_true", help="return freed memory to the system")
    parser.add_argument("-o", "--output", type=Path, help="JSON file for all figures")
    options = machine.parse(parser)
    if not options.no_tune_malloc:
        tune_malloc("cpu")
    rows = measure(options.experts, options.repeat, CROPS)
    print(table(rows))
    if options.output:
        options.output.write_text(json.dumps({"machine": options.machine, "rows": rows}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
