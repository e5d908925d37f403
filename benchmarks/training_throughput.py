"""Compare training throughput with a plain MONAI trainer: crops per second and share of time waiting for data.

    python benchmarks/training_throughput.py -o training_throughput.json

Trains on synthetic heads (`brats_mm.data.phantom`), so it runs from a clean checkout. Both sides of both stages
alternate, with and without a process that loads data, by one epoch per round. Prints medians over the rounds and writes
every round to the JSON file. Both sides run without validation and checkpoints. `training_plain.py` has the plain side.
"""

import argparse
import json
import logging
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import machine
import nibabel as nib
import numpy as np
import torch
from ignite.engine import Events
from training_plain import Plan, plain_trainer

from brats_mm.data.phantom.head import make_phantom

SHAPE = (80, 96, 80)
SPACING_MM = 2.0
NEVER = 10**6


def write_cases(folder: Path, number: int, shape: tuple[int, int, int] = SHAPE) -> list[dict[str, Any]]:
    """Write synthetic heads as folders of NIfTI files, with a training list."""
    items = []
    for seed in range(number):
        made = make_phantom(seed, shape, spacing_mm=(SPACING_MM,) * 3)
        case = folder / f"head_{seed}"
        case.mkdir(parents=True)
        image = {modality.value: str(case / f"{case.name}-{modality.value}.nii.gz") for modality in made.images}
        for modality, volume in made.images.items():
            nib.save(nib.Nifti1Image(volume.data.astype(np.int16), made.grid.affine), image[modality.value])
        label = str(case / f"{case.name}-seg.nii.gz")
        nib.save(nib.Nifti1Image(made.labels, made.grid.affine), label)
        items.append({"name": case.name, "image": image, "label": label})
    return items


def our_trainer(plan: Plan, device: torch.device, folder: Path) -> Any:
    """Create the trainer of the shipped config, as the command line does."""
    from monai.bundle import ConfigWorkflow

    from brats_mm.io.bundle import default_bundle, list_training_configs

    datalist = folder / f"datalist_{plan.stage}_{plan.workers}.json"
    datalist.write_text(json.dumps({"training": list(plan.items), "validation": list(plan.items[:1])}))
    stage = "pretrain_expert" if plan.stage == 1 else "train"
    settings = {
        "dataset_dir": str(folder),
        "datalist": str(datalist),
        "output_dir": str(folder / f"models_{plan.stage}_{plan.workers}"),
        "device": f"$torch.device('{device}')",
        "network_def::size": plan.size,
        "window": list(plan.window),
        "validation_window": list(plan.window),
        "batch_size": plan.batch_size,
        "num_workers": plan.workers,
        "augmentation": plan.augmentation,
        "spacing_mm": plan.spacing_mm,
        "epochs": NEVER,
        "val_interval": NEVER,
        "check_cases": False,
        "progress_bar": False,
        "transplant_prob": 0.0,
        **({} if plan.stage == 1 else {"experts_dir": None, "pair_sampler": "uniform"}),
    }
    config = [str(path) for path in list_training_configs(default_bundle() / "configs", stage)]
    workflow = ConfigWorkflow(config, workflow_type="train", logging_file=False, **settings)
    workflow.initialize()
    trainer = workflow.parser.get_parsed_content("train::trainer")
    trainer.state.max_epochs = 0
    return trainer


class Side:
    """A trainer that alternates with others, and its measured epochs.

    The time of an epoch runs from the request for its first batch to the end of its last step.
    """

    def __init__(self, name: str, plan: Plan, trainer: Any) -> None:
        self.name, self.plan, self.trainer = name, plan, trainer
        self.start_s = self.asked_s = self.waited_s = self.end_s = 0.0
        self.rounds: list[dict[str, float]] = []
        trainer.add_event_handler(Events.EPOCH_STARTED, self._start)
        trainer.add_event_handler(Events.GET_BATCH_STARTED, self._ask)
        trainer.add_event_handler(Events.GET_BATCH_COMPLETED, self._get)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._step)

    def epoch(self, *, keep: bool) -> None:
        """Train one more epoch. The first one is a warm-up and is not kept."""
        self.trainer.state.max_epochs += 1
        self.trainer.run()
        seconds = self.end_s - self.start_s
        if keep:
            rates = {"crops_per_second": len(self.plan.items) / seconds, "wait_share": self.waited_s / seconds}
            self.rounds.append({**rates, "seconds": seconds})

    def median(self, name: str) -> float:
        """Return the median over the kept rounds."""
        return statistics.median(rates[name] for rates in self.rounds)

    def _now(self) -> float:
        if self.trainer.state.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def _start(self, engine: Any) -> None:
        self.start_s = self._now()
        self.waited_s = 0.0

    def _ask(self, engine: Any) -> None:
        self.asked_s = self._now()

    def _get(self, engine: Any) -> None:
        self.waited_s += time.perf_counter() - self.asked_s

    def _step(self, engine: Any) -> None:
        self.end_s = self._now()


def compare(plans: Sequence[Plan], rounds: int, device: torch.device, folder: Path) -> list[Side]:
    """Run both sides of each plan alternately, in reversed order every second time."""
    sides = []
    for plan in plans:
        sides.append(Side("ours", plan, our_trainer(plan, device, folder)))
        sides.append(Side("plain", plan, plain_trainer(plan, device)))
    for turn in range(rounds + 1):
        for side in sides if turn % 2 == 0 else sides[::-1]:
            torch.manual_seed(turn)
            np.random.seed(turn)
            side.epoch(keep=turn > 0)
    return sides


def rows_of(sides: Sequence[Side]) -> list[dict[str, Any]]:
    """Return a row per stage and number of workers: medians of both sides, and the ratio of their throughputs."""
    rows = []
    for ours, plain in zip(sides[::2], sides[1::2], strict=True):
        ratios = [
            one["crops_per_second"] / other["crops_per_second"]
            for one, other in zip(ours.rounds, plain.rounds, strict=True)
        ]
        row: dict[str, Any] = {"stage": ours.plan.stage, "workers": ours.plan.workers}
        row["ratio"] = statistics.median(ratios)
        for side in (ours, plain):
            medians = {name: side.median(name) for name in ("crops_per_second", "wait_share")}
            row[side.name] = {**medians, "rounds": side.rounds}
        rows.append(row)
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Format the medians as Markdown."""
    lines = [
        "| stage | loading processes | ours, crops/s | plain, crops/s | ours / plain | ours waiting | plain waiting |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        ours, plain = row["ours"], row["plain"]
        lines.append(
            f"| {row['stage']} | {row['workers']} | {ours['crops_per_second']:.2f} | {plain['crops_per_second']:.2f} | "
            f"{row['ratio']:.2f} | {100 * ours['wait_share']:.1f} % | {100 * plain['wait_share']:.1f} % |"
        )
    return "\n".join(lines) + "\n"


def machine_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return the threads and the device that train, besides `machine.describe`."""
    device = torch.cuda.get_device_name() if options.device.startswith("cuda") else platform.machine()
    return {"threads": torch.get_num_threads(), "device": device}


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", type=int, nargs="+", default=[1, 2], choices=[1, 2])
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1], help="numbers of data-loading processes")
    parser.add_argument("--size", default="light", help="network size: light or full")
    parser.add_argument("--window", type=int, default=64, help="voxels per side, a multiple of 32")
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--cases", type=int, default=2, help="number of synthetic heads")
    parser.add_argument("--steps", type=int, nargs=2, default=[3, 2], help="steps per epoch of stage 1 and stage 2")
    parser.add_argument("--rounds", type=int, default=2, help="measured rounds")
    parser.add_argument("--augmentation", default="small_data", choices=["small_data", "paper"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=None, help="PyTorch threads in the training process")
    parser.add_argument("-o", "--output", type=Path, default=Path("training_throughput.json"))
    return machine.parse(parser, arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    if options.threads:
        torch.set_num_threads(options.threads)
    described, rows = {**options.machine, **machine_of(options)}, []
    with tempfile.TemporaryDirectory() as folder:
        heads = write_cases(Path(folder), options.cases)
        for stage in options.stages:
            crops = options.steps[stage - 1] * options.batch_size
            plan = Plan(
                stage=stage,
                items=tuple(heads[index % len(heads)] for index in range(crops)),
                size=options.size,
                window=(options.window,) * 3,
                batch_size=options.batch_size,
                workers=0,
                augmentation=options.augmentation,
                spacing_mm=SPACING_MM,
            )
            plans = [replace(plan, workers=workers) for workers in options.workers]
            rows += rows_of(compare(plans, options.rounds, torch.device(options.device), Path(folder)))
            print(table(rows), flush=True)
    settings = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(options).items()
        if name != "machine"
    }
    document = {"machine": described, "settings": settings, "rows": rows}
    options.output.write_text(json.dumps(document, indent=1), encoding="utf-8")
    print(f"Wrote {options.output}")


if __name__ == "__main__":
    main()
