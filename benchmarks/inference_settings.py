"""Measure speed, memory and agreement of each backend and preset against a plain reference, on given cases.

The reference is MONAI's sliding_window_inference with the network's forward pass in PyTorch, float32, 128^3, overlap
0.5. Its window is cropped to the box of the brain, rounded up to 32, as in the bundle's calibration and model card.
`--uncut` adds the reference with whole 128^3 windows. Zeros around the brain shift the means of instance normalisation,
so its outlines differ.

    python benchmarks/inference_settings.py CASES --repeat 5 --labels -o inference_settings

CASES is a folder with one subfolder per case. The variants alternate, so that a busy machine slows down all of them.
The result has medians. Memory is the peak of a separate process for each variant, from files to label map.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import machine
import numpy as np
import torch
from torch import nn

from brats_mm.domain.availability import ALL_AVAILABLE, Availability, format_subset, sort_modalities, to_flags
from brats_mm.domain.case import Case
from brats_mm.domain.prediction import Prediction
from brats_mm.domain.regions import REGIONS
from brats_mm.inference.choice import choose_backend
from brats_mm.inference.engine import BACKGROUND_LOGIT, PRESETS, find_near_brain
from brats_mm.inference.predictor import Predictor, restore_probabilities
from brats_mm.inference.prepare import prepare
from brats_mm.inference.windows import clip_window
from brats_mm.io.bundle import open_bundle
from brats_mm.pipeline.network import load_network
from brats_mm.pipeline.segment import load_case
from brats_mm.pipeline.segmenter import Segmenter
from brats_mm.training.peak_memory import measure_peak_bytes

PLAIN, UNCUT = "plain MONAI", "plain MONAI, 128^3 uncut"
GROWING: tuple[Availability, ...] = tuple(
    frozenset(sort_modalities(ALL_AVAILABLE)[:count]) for count in range(1, 1 + len(ALL_AVAILABLE))
)


@dataclass(frozen=True)
class Answer:
    """Probabilities by region on the input grid, seconds of the network, and seconds from arrays to probabilities."""

    probabilities: dict[Any, Any]
    network_s: float
    all_s: float


Way = Callable[[Case], Answer]


def plain_way(network: nn.Module, spacing_mm: float, *, cut: bool) -> Way:
    """Run the network with MONAI's sliding window."""
    from monai.inferers import sliding_window_inference

    def run(case: Case) -> Answer:
        start = time.perf_counter()
        given = prepare(case, spacing_mm)
        started = time.perf_counter()
        image = given.image[None]
        side = (128, 128, 128)
        if cut:
            # Pad on the far side, like the bundle's engine. MONAI would pad on both sides.
            side = clip_window(side, given.brain.shape)
            room = [max(0, wanted - have) for wanted, have in zip(side, given.brain.shape, strict=True)]
            image = nn.functional.pad(image, [0, room[2], 0, room[1], 0, room[0]])
        available = torch.tensor([to_flags(case.available)])
        with torch.inference_mode():
            logits = sliding_window_inference(
                image, side, 1, lambda window: network(window, available), overlap=0.5, mode="gaussian"
            )[0]
        x, y, z = given.brain.shape
        logits = logits[:, :x, :y, :z].masked_fill(~find_near_brain(given.brain), BACKGROUND_LOGIT)
        network_s = time.perf_counter() - started
        probabilities = restore_probabilities(logits, given.placement)
        return Answer(probabilities, network_s, time.perf_counter() - start)

    return run


def our_way(predictor: Predictor) -> Way:
    """Run the engine with one backend and one preset."""

    def run(case: Case) -> Answer:
        start = time.perf_counter()
        made: Prediction = predictor.predict(case)
        return Answer(dict(made.probabilities), made.run.seconds["network"], time.perf_counter() - start)

    return run


def make_ways(bundle: Path | None, backends: Sequence[str], *, uncut: bool) -> dict[str, Way]:
    """Return every variant by name, the reference first."""
    network, identity = load_network(open_bundle(bundle))
    plain, _ = load_network(open_bundle(bundle))  # separate, because our backend changes its network
    ways = {PLAIN: plain_way(plain, identity.spacing_mm, cut=True)}
    if uncut:
        ways[UNCUT] = plain_way(plain, identity.spacing_mm, cut=False)
    cpu = torch.device("cpu")
    for name in backends:
        backend = choose_backend(name, network, cpu, weights_sha256=identity.weights_sha256)
        for preset, settings in PRESETS.items():
            ways[f"{name} {preset}"] = our_way(Predictor(network, identity, cpu, settings, backend))
    return ways


def installed_backends() -> tuple[str, ...]:
    """Return the backends that are available on this machine."""
    from importlib.util import find_spec

    return ("torch", "openvino") if find_spec("openvino") else ("torch",)


def dice(first: Any, second: Any) -> float:
    """Return the Dice of two masks. 1 if both are empty."""
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else 1.0


def measure(cases: Sequence[Path], ways: dict[str, Way], repeat: int, *, labels: bool) -> Iterator[dict[str, Any]]:
    """Return a row per case, variant and repetition. Agreement is with the reference."""
    for folder in cases:
        case = load_case(folder)
        reference = ways[PLAIN](case)
        truth = _truth(folder, case) if labels else None
        for turn in range(repeat):
            for name, way in ways.items():
                answer = way(case)
                row: dict[str, Any] = {"case": folder.name, "way": name, "turn": turn}
                row |= {"network_s": answer.network_s, "all_s": answer.all_s}
                for region in REGIONS:
                    mine, theirs = answer.probabilities[region], reference.probabilities[region]
                    row[f"agreement_{region.value}"] = dice(mine >= 0.5, theirs >= 0.5)
                    row[f"difference_{region.value}"] = float(np.abs(mine - theirs).mean())
                    if truth is not None:
                        row[f"dice_{region.value}"] = dice(mine >= 0.5, truth[region])
                print(f"{folder.name}, {name}: {answer.network_s:.2f} s", file=sys.stderr, flush=True)
                yield row


def _truth(folder: Path, case: Case) -> Any:
    from brats_mm.io.labelled_cases import list_labelled_cases
    from brats_mm.io.reference_labels import read_reference

    matching = [labelled for labelled in list_labelled_cases(folder.parent) if labelled.files.name == folder.name]
    return read_reference(matching[0].label, case.grid, matching[0].scheme) if matching else None


def sequences(case: Case, ways: dict[str, Way], repeat: int) -> list[dict[str, Any]]:
    """Return the seconds of the network with one to four sequences, relative to four."""
    rows = []
    subsets = [subset for subset in GROWING if subset <= case.available]
    for name, way in ways.items():
        if name in (PLAIN, UNCUT):
            continue
        seconds: dict[Availability, list[float]] = {subset: [] for subset in subsets}
        for _ in range(repeat):
            for subset in subsets:
                volumes = {modality: case.volumes[modality] for modality in sort_modalities(subset)}
                seconds[subset].append(way(replace(case, volumes=volumes)).network_s)
        whole = statistics.median(seconds[subsets[-1]])
        for subset in subsets:
            median = statistics.median(seconds[subset])
            limit = len(subset) / len(ALL_AVAILABLE) + 0.1
            rows.append({"way": name, "sequences": format_subset(subset), "share": median / whole, "limit": limit})
    return rows


def arithmetic(ways: dict[str, Way], rows: Sequence[dict[str, Any]], case: Case, bundle: Path | None) -> dict[str, Any]:
    """Return the GFLOP/s of the network and of a large float32 matrix product."""
    from torch.utils.flop_counter import FlopCounterMode

    first, second = torch.randn(3072, 3072), torch.randn(3072, 3072)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        torch.mm(first, second)
        seconds.append(time.perf_counter() - start)
    rate = 2 * 3072**3 / min(seconds) / 1e9
    network, identity = load_network(open_bundle(bundle))
    side = clip_window((128, 128, 128), prepare(case, identity.spacing_mm).brain.shape)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 4, *side), torch.tensor([to_flags(case.available)]))
    gflop = counter.get_total_flops() / 1e9
    results: dict[str, Any] = {"matrix_product_gflop_s": rate, "case_gflop": gflop, "window": list(side)}
    for name in ways:
        if name.endswith(" default"):
            reached = gflop / min(row["network_s"] for row in rows if row["way"] == name)
            results[name] = {"gflop_s": reached, "share_of_matrix_product": reached / rate}
    return results


ALONE = """
import sys, time
import torch
start = time.perf_counter()
from inference_settings import predict_alone
predict_alone(*sys.argv[1:], start)
"""


def alone_s_and_gb(folder: Path, name: str, bundle: Path | None) -> dict[str, float]:
    """Measure, in a separate process with torch imported, the seconds until a result and the peak memory."""
    command = [sys.executable, "-c", ALONE, str(folder), name, str(bundle or "")]
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def predict_alone(folder: str, name: str, bundle: str, start: float) -> None:
    """Run the measurement of `alone_s_and_gb`."""
    if name in (PLAIN, UNCUT):
        make_ways(Path(bundle) if bundle else None, (), uncut=True)[name](load_case(Path(folder)))
    else:
        backend, preset = name.split()
        segmenter = Segmenter.from_bundle(bundle or None, device="cpu", backend=backend, settings=PRESETS[preset])
        segmenter.predict(Path(folder)).labels()
    print(
        json.dumps(
            {"first_result_s": time.perf_counter() - start, "peak_gb": (measure_peak_bytes("cpu") or math.nan) / 1e9}
        )
    )


def table(rows: Sequence[dict[str, Any]], alone: dict[str, dict[str, float]]) -> str:
    """Format medians over cases and repetitions as Markdown."""
    regions = [region.value for region in REGIONS]
    labelled = any("dice_wt" in row for row in rows)
    names = list(dict.fromkeys(row["way"] for row in rows))
    head = ["way", "network s", "arrays to maps s", "times plain", "peak GB", "first result s"]
    head += [f"agreement {region.upper()}, least" for region in regions] + ["mean difference"]
    head += [f"Dice {region.upper()}, mean" for region in regions] if labelled else []
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    plain = statistics.median(row["network_s"] for row in rows if row["way"] == PLAIN)
    for name in names:
        mine = [row for row in rows if row["way"] == name]
        network_s = statistics.median(row["network_s"] for row in mine)
        cells = [name, f"{network_s:.2f}", f"{statistics.median(row['all_s'] for row in mine):.2f}"]
        cells += [f"{plain / network_s:.2f}", f"{alone[name]['peak_gb']:.2f}", f"{alone[name]['first_result_s']:.1f}"]
        cells += [f"{min(row[f'agreement_{region}'] for row in mine):.4f}" for region in regions]
        cells.append(f"{max(row[f'difference_{region}'] for row in mine for region in regions):.1e}")
        if labelled:
            cells += [
                f"{statistics.mean(row[f'dice_{region}'] for row in mine if f'dice_{region}' in row):.3f}"
                for region in regions
            ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--bundle", type=Path, default=None)
    parser.add_argument("--labels", action="store_true", help="also compute Dice with the labels, if available")
    parser.add_argument("--uncut", action="store_true", help="also run the reference with whole 128^3 windows")
    parser.add_argument("-o", "--output", type=Path, default=Path("inference_settings"))
    options = machine.parse(parser)
    folders = sorted(path for path in options.cases.iterdir() if path.is_dir())
    ways = make_ways(options.bundle, installed_backends(), uncut=options.uncut)
    rows = list(measure(folders, ways, options.repeat, labels=options.labels))
    alone = {name: alone_s_and_gb(folders[0], name, options.bundle) for name in ways}
    case = load_case(folders[0])
    document = {
        "machine": options.machine,
        "rows": rows,
        "alone": alone,
        "sequences": sequences(case, ways, options.repeat),
        "arithmetic": arithmetic(ways, rows, case, options.bundle),
    }
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "inference_settings.json").write_text(json.dumps(document, indent=1))
    (options.output / "inference_settings.md").write_text(table(rows, alone))
    print(table(rows, alone))
    print(json.dumps({key: document[key] for key in ("sequences", "arithmetic")}, indent=1))


if __name__ == "__main__":
    main()
