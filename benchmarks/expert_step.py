"""Time the training step of one expert on a CPU with PyTorch's normalisation and with ours.

    python benchmarks/expert_step.py --window 80 96 80 --repeat 8 -o expert_step.json

The two alternate in float32 and bfloat16 on the same weights and windows, with forward pass, loss and backward pass but
without an optimiser. bfloat16 is faster only if the processor supports it (`lscpu | grep bf16`). `--keep-freed-memory`
keeps freed memory in the process, as our trainings do. By default, memory returns to the system after every layer.
Gradients are compared with those in float64.
"""

import argparse
import copy
import json
import statistics
import time
from pathlib import Path

import machine
import torch
from torch import Tensor, nn

from brats_mm.execution.malloc_tuning import tune_malloc
from brats_mm.networks.normed_activation import NormedActivation
from brats_mm.networks.presets import simmlm

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def with_pytorchs_norm(expert: nn.Module) -> nn.Module:
    """Copy the expert, with PyTorch's modules for normalisation and activation and the same weights."""
    other = copy.deepcopy(expert)
    for parent in list(other.modules()):
        for name, norm in list(parent.named_children()):
            if isinstance(norm, NormedActivation):
                plain = nn.GroupNorm(norm.num_groups, norm.num_channels, eps=norm.eps)
                plain.load_state_dict(norm.state_dict())
                setattr(parent, name, nn.Sequential(plain, norm.activation))
    return other


def step(expert: nn.Module, windows: Tensor, precision: torch.dtype) -> Tensor:
    """Return the gradients of one step as one vector."""
    expert.zero_grad()
    with torch.autocast("cpu", dtype=precision, enabled=precision is not torch.float32):
        logits = expert(windows)
    logits.to(torch.promote_types(logits.dtype, torch.float32)).square().mean().backward()
    return torch.cat([weight.grad.flatten() for weight in expert.parameters() if weight.grad is not None])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--window", type=int, nargs=3, default=(80, 96, 80))
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--size", choices=("light", "full"), default="light")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--keep-freed-memory", action="store_true")
    parser.add_argument("-o", "--output", type=Path, default=Path("expert_step.json"))
    options = machine.parse(parser)
    torch.manual_seed(0)
    ours = simmlm(options.size).get_submodule("experts.flair").to(memory_format=torch.channels_last_3d)
    norms = {"pytorch's": with_pytorchs_norm(ours), "ours": ours}
    windows = torch.randn(options.batch_size, 1, *options.window).contiguous(memory_format=torch.channels_last_3d)
    ways = [(precision, norm) for precision in PRECISIONS for norm in norms]
    seconds: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
    exact = step(copy.deepcopy(norms["pytorch's"]).double(), windows.double(), torch.float32).float()
    if options.tune_malloc:  # after float64, because its convolutions take gigabytes
        tune_malloc("cpu")
    off: dict[tuple[str, str], float] = {}
    for turn in range(options.repeat + 1):  # the first is a warm-up
        for way in ways:
            precision, norm = way
            start = time.perf_counter()
            gradients = step(norms[norm], windows, PRECISIONS[precision])
            if turn:
                seconds[way].append(time.perf_counter() - start)
            off[way] = float((gradients - exact).norm() / exact.norm())
    rows = [
        {"precision": way[0], "norm": way[1], "median_s": statistics.median(seconds[way]), "gradients_off": off[way]}
        for way in ways
    ]
    for row in rows:
        name = f"{row['precision']:10}{row['norm']:12}"
        print(f"{name}{row['median_s']:7.3f} s, gradient error {row['gradients_off']:.1e}")
    document = {"machine": options.machine, "rows": rows}
    options.output.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
