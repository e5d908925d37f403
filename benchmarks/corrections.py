"""Learn from corrections on synthetic heads with a shifted contrast: the most uncertain cases against random ones.

A small model is trained on heads with the usual contrast. The site's heads have a shifted one. In each round, labels of
some cases are submitted, chosen by the lowest estimated Dice or at random, and the model is fine-tuned on all labels so
far. Both ways are scored on the same number of test heads. Random choices are repeated, and their mean is compared.

    python benchmarks/corrections.py -o corrections.json --plot docs/pictures/corrections.png

Training is bounded by gradient steps and uses one thread, so the load of the machine does not change the scores.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import machine
import nibabel as nib
import numpy as np
import torch

from brats_mm.data.phantom.head import Phantom, make_phantom
from brats_mm.domain.options import ModelOptions
from brats_mm.domain.regions import REGIONS
from brats_mm.io.bundle import HASHES, WEIGHTS, Bundle, compute_sha256, default_bundle
from brats_mm.learning.fine_tune import fine_tune
from brats_mm.learning.plan import FineTuning, PlannedCase, TrainingPlan
from brats_mm.learning.versions import BUNDLE
from brats_mm.learning.watched_trainer import Watch
from brats_mm.pipeline.network import build_network
from brats_mm.pipeline.segmenter import Segmenter
from brats_mm.trust.case_dice import collect_estimates

SHAPE = (48, 56, 48)
SIDE = 32
GATE = {"_target_": "brats_mm.networks.gating.UniformGate", "modalities": 4, "outputs": 3}
NETWORK = {
    "_target_": "brats_mm.networks.dmome.DMoME",
    "experts": {
        name: {
            "_target_": "brats_mm.networks.expert.UNetExpert",
            "widths": [8, 16, 32],
            "in_channels": 1,
            "out_channels": 3,
        }
        for name in ("t1", "t1ce", "t2", "flair")
    },
    "gate": GATE,
}


class StepClock:
    """Training clock that counts one second per gradient step.

    `check` belongs to `Watch.check`, which the training calls once before each step.
    """

    def __init__(self) -> None:
        self.steps = 0

    def check(self) -> None:
        """Count a step."""
        self.steps += 1

    def seconds(self) -> float:
        """Return the steps so far as seconds."""
        return float(self.steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file for the results")
    parser.add_argument("--plot", type=Path, help="picture for the results")
    parser.add_argument("--steps", type=int, default=140, help="gradient steps of each fine-tuning run")
    parser.add_argument("--first-steps", type=int, default=700, help="gradient steps of the first training")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of corrections")
    parser.add_argument("--pool", type=int, default=8, help="number of heads to choose from")
    parser.add_argument("--each", type=int, default=2, help="number of labels per round")
    parser.add_argument("--test", type=int, default=3, help="number of test heads")
    parser.add_argument("--draws", type=int, default=2, help="repetitions of the random choice")
    options = parser.parse_args()
    if options.rounds * options.each > options.pool:
        parser.error(
            f"{options.rounds} rounds of {options.each} labels need a pool of {options.rounds * options.each}."
        )
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        result = experiment(Path(folder), options)
    document = {"machine": machine.describe(), **result}
    options.output.write_text(json.dumps(document, indent=1), encoding="utf-8")
    if options.plot is not None:
        plot(result, options.plot)


def experiment(work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return the Dice on the test heads after each round: once for `uncertain`, and for each draw of `random`."""
    usual = [save(make_phantom(seed, SHAPE), work, f"usual-{seed}", gamma=1.0) for seed in range(4)]
    rng = np.random.default_rng(7)
    gammas = rng.uniform(1.5, 4.0, options.pool + options.test)
    site = [
        save(make_phantom(100 + number, SHAPE), work, f"site-{number}", gamma=float(gamma))
        for number, gamma in enumerate(gammas)
    ]
    pool, test = site[: options.pool], site[options.pool :]
    start, dice = fine_tune_bundle(work, "start", random_bundle(work / "random"), usual, test, options.first_steps)
    arms = [("uncertain", 0), *(("random", draw) for draw in range(options.draws))]
    curves: dict[str, list[list[float]]] = {"uncertain": [], "random": []}
    for way, draw in arms:
        curve = [dice, *corrected(work, way, draw, start, pool, test, options)]
        curves[way].append(curve)
        print(way, draw, curve, flush=True)
    settings = {name: getattr(options, name) for name in ("steps", "first_steps", "rounds", "pool", "each", "test")}
    return {**settings, "dice": curves}


def corrected(
    work: Path,
    way: str,
    draw: int,
    bundle: Path,
    pool: Sequence[PlannedCase],
    test: list[PlannedCase],
    options: argparse.Namespace,
) -> Iterator[float]:
    """Yield the Dice after each round of one way to choose."""
    rng = np.random.default_rng(draw)
    waiting, labelled = list(pool), list[PlannedCase]()
    for number in range(options.rounds):
        chosen = choose(way, bundle, waiting, work, options.each, rng)
        waiting = [case for case in waiting if case not in chosen]
        labelled += chosen
        bundle, dice = fine_tune_bundle(work, f"{way}-{draw}-{number}", bundle, labelled, test, options.steps)
        yield dice


def save(phantom: Phantom, work: Path, name: str, *, gamma: float) -> PlannedCase:
    """Write a head whose grey values are raised to a power, which normalisation does not undo."""
    (work / name).mkdir()
    sequences = {}
    for modality, volume in phantom.images.items():
        top = float(volume.data.max())
        changed = top * np.clip(volume.data / top, 0, 1) ** gamma
        changed = np.where(volume.foreground, np.maximum(changed, 1.0), 0)
        sequences[modality.value] = f"{name}/{modality.value}.nii.gz"
        nib.save(nib.Nifti1Image(changed.astype(np.float32), volume.grid.affine), work / sequences[modality.value])
    affine = next(iter(phantom.images.values())).grid.affine
    nib.save(nib.Nifti1Image(phantom.labels, affine), work / name / "labels.nii.gz")
    return PlannedCase(name, "training", sequences, f"{name}/labels.nii.gz")


def random_bundle(folder: Path) -> Path:
    """Write a bundle with a small untrained network."""
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    metadata = (default_bundle() / "configs" / "metadata.json").read_text(encoding="utf-8")
    (folder / "configs" / "metadata.json").write_text(metadata, encoding="utf-8")
    (folder / "configs" / "inference.json").write_text(json.dumps({"network_def": NETWORK}), encoding="utf-8")
    train = json.loads((default_bundle() / "configs" / "train.json").read_text(encoding="utf-8"))
    train["stage"] = "expert"  # a uniform gate has no smallest window
    (folder / "configs" / "train.json").write_text(json.dumps(train), encoding="utf-8")
    torch.manual_seed(1)
    network, _ = build_network(Bundle(folder))
    torch.save(network.state_dict(), folder / WEIGHTS)
    (folder / HASHES).write_text(f"{compute_sha256(folder / WEIGHTS)}  model.pt\n", encoding="utf-8")
    return folder


def fine_tune_bundle(
    work: Path, name: str, parent: Path, cases: list[PlannedCase], test: list[PlannedCase], steps: int
) -> tuple[Path, float]:
    """Fine-tune a bundle for a number of steps, and return the new bundle and its mean Dice on the test heads."""
    held_out = [replace(case, use="held_out") for case in test]
    minutes = (steps - 0.5) / 60  # by `StepClock`. Half a step less, so that rounding adds none
    settings = FineTuning(minutes=minutes, side=SIDE, batch=1, learning_rate=3e-3 if name == "start" else 1e-3)
    plan = TrainingPlan(name, parent.name, settings, (*cases, *held_out))
    clock = StepClock()
    watch = Watch(clock.check, lambda stage, done, total: None, clock.seconds)
    output = work / "models" / name
    output.parent.mkdir(exist_ok=True)
    report = fine_tune(plan, work, model_options(parent), output, watch)
    if report["steps"] != steps:
        raise RuntimeError(
            f"{name} took {report['steps']} steps instead of {steps}. The training no longer checks once per step."
        )
    return output / BUNDLE, float(report["held_out"]["version"]["dice"])


def choose(
    way: str, bundle: Path, waiting: list[PlannedCase], work: Path, number: int, rng: np.random.Generator
) -> list[PlannedCase]:
    """Return the next cases to label."""
    if way == "random":
        return [waiting[index] for index in sorted(rng.permutation(len(waiting))[:number])]
    segmenter = Segmenter.from_options(model_options(bundle))
    doubts = {case.name: doubt(segmenter, case, work) for case in waiting}
    return sorted(waiting, key=lambda case: -doubts[case.name])[:number]


def doubt(segmenter: Segmenter, case: PlannedCase, work: Path) -> float:
    """Return 1 minus the estimated Dice of the whole tumour, as the strategy `uncertain` does."""
    prediction = segmenter.predict({name: work / file for name, file in case.sequences.items()})
    estimate = collect_estimates(prediction)[REGIONS[0]]
    return 1.0 if estimate is None else 1.0 - estimate


def model_options(bundle: Path) -> ModelOptions:
    return ModelOptions(bundle=bundle, device="cpu", backend="torch", window=64, overlap=0.0)


def plot(result: dict[str, Any], path: Path) -> None:
    """Draw the mean of each way, and each draw as a thin line."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
    for (way, curves), colour in zip(result["dice"].items(), ("C0", "C1"), strict=True):
        for curve in curves if len(curves) > 1 else ():
            axes.plot(curve, color=colour, linewidth=0.8, alpha=0.4)
        axes.plot(np.mean(curves, axis=0), color=colour, marker="o", label=f"{way} cases")
    axes.set_xticks(range(result["rounds"] + 1))
    axes.set_xlabel(f"rounds of {result['each']} corrected labels")
    axes.set_ylabel(f"mean Dice on {result['test']} test heads")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
