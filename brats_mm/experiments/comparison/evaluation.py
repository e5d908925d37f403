"""Evaluate a trained run of a comparison: scores over the subsets, operations and time."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from brats_mm.domain.availability import ALL_AVAILABLE, to_flags
from brats_mm.domain.counting import format_count
from brats_mm.domain.modality import Modality
from brats_mm.errors import OptionError
from brats_mm.evaluation.case import share_passes
from brats_mm.evaluation.run import EvaluationSettings, evaluate
from brats_mm.evaluation.tables import SUMMARY, read_case_rows, read_summary, write_document
from brats_mm.inference.predictor import Predictor
from brats_mm.io.bundle import open_bundle
from brats_mm.io.case import read_case
from brats_mm.io.labelled_cases import LabelledCase
from brats_mm.packaging.create import create_bundle
from brats_mm.pipeline.network import load_network
from brats_mm.pipeline.segmenter import Segmenter


def count_multiply_accumulates(network: nn.Module, image: Float[Tensor, "b m h w d"], available: Sequence[bool]) -> int:
    """Count the multiply-accumulates of one forward pass.

    Covers convolutions, linear layers and attention. Normalisation, activations and the weighted sum are excluded, as
    in the papers, which call multiply-accumulates FLOPS.

    Args:
        network: network in evaluation mode.
        image: input.
        available: availability of each channel's modality.
    """
    rows = torch.tensor([list(available)]).expand(image.shape[0], -1)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(image, rows)
    return int(counter.get_total_flops()) // 2


BUNDLE, EVALUATION, RESULT = "bundle", "evaluation", "result.json"

COUNTED_SIDE = 64
"""Side in voxels of the window for which operations are counted: an eighth of the volume of the papers' 128^3."""

TIMED_CASES = 3
"""Number of timed cases, each with all its sequences."""


@dataclass(frozen=True)
class RunEvaluator:
    """Evaluation shared by all runs of a comparison.

    Attributes:
        cases: labelled cases.
        bundle: folder of the template bundle. None is the installed one.
        device: device to run on.
    """

    cases: tuple[LabelledCase, ...]
    bundle: Path | None = None
    device: str = "auto"


def evaluate_run(folder: Path, checkpoint: Path, evaluator: RunEvaluator) -> dict[str, Any]:
    """Create the bundle of a run and evaluate it, resuming an earlier attempt. Return its result for the tables.

    Args:
        folder: the run's folder with its `config.json`.
        checkpoint: the trained checkpoint.
        evaluator: cases, bundle and device.

    Raises:
        OptionError: the run was evaluated on other cases.
    """
    done = folder / RESULT
    if (folder / EVALUATION / SUMMARY).is_file():
        _require_same_cases(folder / EVALUATION, evaluator.cases)
    if not done.is_file():
        bundle = folder / BUNDLE
        if not (bundle / "configs").exists():
            create_bundle(
                [checkpoint],
                bundle,
                open_bundle(evaluator.bundle),
                version="experiment",
                configs=[folder / "config.json"],
            )
        # The same backend for all methods, because the other backends support only some of them.
        predictor = Segmenter.from_bundle(bundle, device=evaluator.device, backend="torch", trust_bundle=True).predictor
        if not (folder / EVALUATION / SUMMARY).is_file():
            settings = EvaluationSettings(plots=False, resume=True)
            evaluate(evaluator.cases, folder / EVALUATION, share_passes(predictor), settings)
        write_document(
            done,
            {
                "parameters": predictor.model.parameters,
                "multiply_accumulates": _count_operations(bundle),
                "inference_seconds_a_case": _measure_seconds_per_case(predictor, evaluator.cases[:TIMED_CASES]),
            },
        )
    result: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
    return result


def _require_same_cases(evaluation: Path, cases: Sequence[LabelledCase]) -> None:
    """Check that a finished evaluation has the given cases, including those that failed."""
    former = {row.case for row in read_case_rows(evaluation)} | set(read_summary(evaluation)["failed"])
    now = {case.files.name for case in cases}
    if former != now:
        raise OptionError(
            f"{evaluation} has {format_count(len(former), 'case')}, and {len(former & now)} of them "
            f"belong to the {len(now)} of this experiment. Choose another output folder, or evaluate the same cases."
        )


def _count_operations(bundle: Path) -> dict[str, int]:
    """Count the multiply-accumulates of a window with all four sequences and with T1ce alone."""
    network, _ = load_network(open_bundle(bundle), trusted=True)
    image = torch.zeros(1, len(ALL_AVAILABLE), *[COUNTED_SIDE] * 3)
    sets = {"all_four": ALL_AVAILABLE, "one": frozenset({Modality.T1CE})}
    return {name: count_multiply_accumulates(network, image, to_flags(available)) for name, available in sets.items()}


def _measure_seconds_per_case(predictor: Predictor, cases: Sequence[LabelledCase]) -> float:
    """Return the shortest time per case in seconds, without reading. The minimum excludes other load on the machine."""
    seconds = []
    for labelled in cases:
        case = read_case(labelled.files)
        start = time.perf_counter()
        predictor.predict(case)
        seconds.append(time.perf_counter() - start)
    return min(seconds)
