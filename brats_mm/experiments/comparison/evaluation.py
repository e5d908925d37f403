"""A trained run of a study is judged: packed, evaluated over its sets, counted and timed."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from brats_mm.domain.availability import ALL_AVAILABLE, flags
from brats_mm.domain.modality import Modality
from brats_mm.evaluation.case import shared_passes
from brats_mm.evaluation.run import EvaluationSettings, evaluate
from brats_mm.evaluation.tables import SUMMARY, write_document
from brats_mm.inference.predictor import Predictor
from brats_mm.io.bundle import open_bundle
from brats_mm.io.case import read_case
from brats_mm.io.labelled_cases import LabelledCase
from brats_mm.metrics.complexity import multiply_accumulates
from brats_mm.packaging.pack import pack
from brats_mm.pipeline.network import load_network
from brats_mm.pipeline.segmenter import Segmenter

BUNDLE, EVALUATION, RESULT = "bundle", "evaluation", "result.json"

COUNTED_SIDE = 64
"""Voxels a side of the window for which operations are counted: 1/8 of the papers' 128."""

TIMED_CASES = 3
"""How many cases are timed, each with all the sequences it has."""


@dataclass(frozen=True)
class RunEvaluator:
    """What all runs of a study are judged by.

    Attributes:
        cases: the labelled cases of the evaluation.
        bundle: the template's folder; None is the bundle that comes with the package.
        device: where to run.
        counted_side: see `COUNTED_SIDE`.
    """

    cases: tuple[LabelledCase, ...]
    bundle: Path | None = None
    device: str = "auto"
    counted_side: int = COUNTED_SIDE


def evaluate_run(
    folder: Path, checkpoint: Path, evaluator: RunEvaluator, *, on_case: Callable[[int, int, str], None] | None = None
) -> dict[str, Any]:
    """Pack and evaluate a run, going on where an earlier attempt stopped; returns what the tables need.

    Args:
        folder: of the run, with its `config.json`.
        checkpoint: the state that its training left.
        evaluator: cases, bundle and device.
        on_case: told after each case.
    """
    done = folder / RESULT
    if not done.is_file():
        bundle = folder / BUNDLE
        if not (bundle / "configs").exists():
            pack([checkpoint], bundle, open_bundle(evaluator.bundle), version="study", configs=[folder / "config.json"])
        # One backend for all: another one would be faster for some methods only.
        predictor = Segmenter.from_bundle(bundle, device=evaluator.device, backend="torch").predictor
        if not (folder / EVALUATION / SUMMARY).is_file():
            settings = EvaluationSettings(plots=False, resume=True)
            evaluate(evaluator.cases, folder / EVALUATION, shared_passes(predictor), settings, on_case=on_case)
        write_document(
            done,
            {
                "parameters": predictor.model.parameters,
                "multiply_accumulates": _operations(bundle, evaluator.counted_side),
                "inference_seconds_a_case": _seconds_a_case(predictor, evaluator.cases[:TIMED_CASES]),
            },
        )
    found: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
    return found


def _operations(bundle: Path, side: int) -> dict[str, int]:
    """Of a window with all four sequences, and with T1ce alone."""
    network, _ = load_network(open_bundle(bundle))
    image = torch.zeros(1, len(ALL_AVAILABLE), side, side, side)
    sets = {"all_four": ALL_AVAILABLE, "one": frozenset({Modality.T1CE})}
    return {name: multiply_accumulates(network, image, flags(available)) for name, available in sets.items()}


def _seconds_a_case(predictor: Predictor, cases: Sequence[LabelledCase]) -> float:
    """The least over the cases, reading left out: whatever else the machine does can only add to it."""
    seconds = []
    for labelled in cases:
        case = read_case(labelled.files)
        start = time.perf_counter()
        predictor.predict(case)
        seconds.append(time.perf_counter() - start)
    return min(seconds)
