"""Time a case on a GPU, from arrays in memory to a label map in memory, and a cohort in cases per second.

    python benchmarks/cuda_inference.py [--device cuda] [--side 160] [--repeat 20] [--cases 20] [-o cuda_inference.json]

The case is noise, and the network has the shipped architecture with random weights, which does not change the time. The
cross-sequence expert runs on windows over the whole brain, more than on a usual case. Each row is a precision and a
number of its windows per batch. `median` is a single case with the copies to and from the GPU. `graph` is one of its
windows, replayed as a CUDA graph. `--device cpu` is a dry run.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import machine
import torch
from torch import Tensor

from brats_mm.domain.modality import MODALITIES
from brats_mm.inference.coarse_to_fine import FINE_WINDOW
from brats_mm.inference.cross_sequence_backend import TorchCrossSequenceBackend
from brats_mm.inference.windows import plan_windows
from brats_mm.networks.case_gate import make_thumbnail
from brats_mm.networks.presets import cross_sequence


def segment(backend: TorchCrossSequenceBackend, image: Tensor, batch: int, window: tuple[int, int, int]) -> Tensor:
    """Return the label map of an image (m, x, y, z) in host memory: all experts, with the fine windows in batches."""
    device = backend.device
    moved = image.to(device, non_blocking=True)[None]
    available = torch.ones(1, len(MODALITIES), dtype=torch.bool, device=device)
    weights = backend.compute_case_weights(make_thumbnail(moved), available)[0].float()
    shares = weights[: len(MODALITIES)]
    experts = [backend.compute_contribution(m, moved[:, m.channel : m.channel + 1])[0] for m in MODALITIES]
    mixture = sum(share[:, None, None, None] * logits for share, logits in zip(shares, experts, strict=True))
    assert isinstance(mixture, Tensor)
    positions = plan_windows(torch.ones(image.shape[1:], dtype=torch.bool), window, 0.5).positions
    for first in range(0, len(positions), batch):
        part = positions[first : first + batch]
        stacked = torch.cat([moved[(slice(None), slice(None), *position)] for position in part])
        joint = backend.compute_joint_contribution(stacked, available.expand(len(part), -1))
        for position, logits in zip(part, joint, strict=True):
            mixture[(slice(None), *position)] += weights[-1][:, None, None, None] * logits
    labels = (mixture > 0).sum(dim=0).to(torch.uint8)
    return labels.cpu()


def graph_seconds(backend: TorchCrossSequenceBackend, window: Sequence[int], repeat: int) -> float | None:
    """Return the seconds of a window of the cross-sequence expert as a CUDA graph. None without a GPU."""
    if backend.device.type != "cuda":
        return None
    static = torch.randn(1, len(MODALITIES), *window, device=backend.device)
    available = torch.ones(1, len(MODALITIES), dtype=torch.bool, device=backend.device)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            backend.compute_joint_contribution(static, available)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        backend.compute_joint_contribution(static, available)
    return statistics.median(_seconds(graph.replay, repeat, backend.device))


def _seconds(run: Callable[[], object], repeat: int, device: torch.device) -> list[float]:
    made = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        made.append(time.perf_counter() - start)
    return made


@torch.inference_mode()
def measure(
    name: str, *, sides: tuple[int, int, int], repeat: int, cases: int, batches: Sequence[int]
) -> list[dict[str, Any]]:
    """Return a row for each precision and batch."""
    device = torch.device(name)
    torch.manual_seed(0)
    network = cross_sequence().eval().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    image = torch.randn(len(MODALITIES), *sides)
    image = image.pin_memory() if device.type == "cuda" else image
    window = (min(FINE_WINDOW[0], sides[0]), min(FINE_WINDOW[1], sides[1]), min(FINE_WINDOW[2], sides[2]))
    rows = []
    for autocast in (False, True):
        backend = TorchCrossSequenceBackend(network, device, autocast=autocast)
        for batch in batches:
            segment(backend, image, batch, window)
            single = _seconds(lambda b=backend, n=batch: segment(b, image, n, window), repeat, device)  # type: ignore[misc]
            start = time.perf_counter()
            for _ in range(cases):
                segment(backend, image, batch, window)
            row: dict[str, Any] = {"way": f"{backend.precision}, batch {batch}", "median_s": statistics.median(single)}
            row["cases_per_s"] = cases / (time.perf_counter() - start)
            row["graph_s"] = graph_seconds(backend, window, repeat)
            if device.type == "cuda":
                row["peak_gb"] = torch.cuda.max_memory_allocated(device) / 1e9
            rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--side", type=int, default=160, help="sides of the brain in voxels, a multiple of 32")
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--cases", type=int, default=20, help="cases of the cohort")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8], help="windows per batch")
    parser.add_argument("-o", "--output", type=Path, default=Path("cuda_inference.json"))
    options = machine.parse(parser)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("PyTorch finds no GPU. Run this on a machine with one, or use --device cpu for a dry run.")
    rows = measure(
        options.device, sides=(options.side,) * 3, repeat=options.repeat, cases=options.cases, batches=options.batches
    )
    gpu = torch.cuda.get_device_name(options.device) if options.device.startswith("cuda") else None
    for row in rows:
        print(f"{row['way']}: {row['median_s']:.3f} s a case, {row['cases_per_s']:.1f} cases per second")
    document = {"machine": {**options.machine, "gpu": gpu}, "rows": rows}
    options.output.write_text(json.dumps(document, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
