"""Accuracy of a classifier for each availability set, and counter-intuitive rate, with the evaluator handler."""

import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Events
from monai.utils import CommonKeys

from brats_mm.experiments.classification.flag_sampling import Flags


def compute_accuracies(right: Mapping[Flags, Sequence[bool]]) -> dict[Flags, float]:
    """Return the accuracy for each availability set in [0, 1]. Sets without samples are skipped."""
    return {flags: sum(answers) / len(answers) for flags, answers in right.items() if answers}


def compute_counter_intuitive_rate(samples: Iterable[Mapping[Flags, bool]]) -> float:
    """Return the fraction of samples and pairs of nested availability sets in which only the smaller set is right.

    NaN if no sample has nested sets.
    This is the rate of `metrics.monotonicity` with correctness instead of Dice.

    Args:
        samples: for each sample, whether the prediction is correct under each set.
    """
    worse = pairs = 0
    for sample in samples:
        for fewer, fewer_right in sample.items():
            for more, more_right in sample.items():
                if fewer != more and all(
                    fewer_flag <= more_flag for fewer_flag, more_flag in zip(fewer, more, strict=True)
                ):
                    pairs += 1
                    worse += fewer_right and not more_right
    return worse / pairs if pairs else math.nan


logger = logging.getLogger(__name__)


class SubsetScores:
    """Evaluator handler that computes `accuracy_<set>` and `compute_counter_intuitive_rate`.

    Sets are named by their modalities, such as `accuracy_image+audio`.

    Args:
        names: names of the modalities, in the order of the inputs.
        path: JSON file to write the scores to. None writes no file.
    """

    def __init__(self, names: Sequence[str], *, path: Path | str | None = None) -> None:
        self.names = tuple(names)
        self.path = None if path is None else Path(path)
        self._samples: list[dict[Flags, bool]] = []

    def attach(self, engine: Any) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._note)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._score)

    def _start(self, engine: Any) -> None:
        self._samples = []

    def _note(self, engine: Any) -> None:
        available = engine.state.batch["available"]  # (b v m)
        output = engine.state.output
        right = (output[CommonKeys.PRED].argmax(dim=1) == output[CommonKeys.LABEL]).cpu()
        right = right.reshape(available.shape[1], -1).T  # (b v)
        self._samples += [
            {tuple(flags): answer for flags, answer in zip(sets, answers, strict=True)}
            for sets, answers in zip(available.tolist(), right.tolist(), strict=True)
        ]

    def _score(self, engine: Any) -> None:
        right: dict[Flags, list[bool]] = {}
        for sample in self._samples:
            for flags, answer in sample.items():
                right.setdefault(flags, []).append(answer)
        scores = {
            f"accuracy_{self._format_name(flags)}": share for flags, share in sorted(compute_accuracies(right).items())
        }
        scores["counter_intuitive_rate"] = compute_counter_intuitive_rate(self._samples)
        engine.state.metrics.update(scores)
        logger.info("%s.", ", ".join(f"{name} {score:.4f}" for name, score in scores.items()))
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            content = {"samples": len(self._samples), **scores}
            self.path.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")

    def _format_name(self, flags: Flags) -> str:
        return "+".join(name for name, flag in zip(self.names, flags, strict=True) if flag)
