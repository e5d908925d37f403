"""Progress of a segmentation as one fraction over all stages, for the terminal, the service and viewers."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Stage(str, Enum):
    """A stage of a segmentation, in order."""

    READING = "reading"
    PREPROCESSING = "preprocessing"
    SEGMENTING = "segmenting"
    WRITING = "writing"


@dataclass(frozen=True)
class SegmentProgress:
    """Progress of a segmentation.

    Attributes:
        stage: current stage.
        fraction: fraction of all stages that is done, 0 to 1.
        step: current step of the stage, such as "registering T1 to T1ce". Empty for a stage without steps.
        done, total: passes of the network, while segmenting. Otherwise 0.
    """

    stage: Stage
    fraction: float
    step: str = ""
    done: int = 0
    total: int = 0

    def __str__(self) -> str:
        if self.stage is Stage.SEGMENTING and self.total:
            return f"segmenting, part {self.done} of {self.total}"
        return self.step or self.stage.value


OnProgress = Callable[[SegmentProgress], None]
"""Called at each progress. An exception from it stops the segmentation."""

_PREPARED_ENDS = {Stage.READING: 0.1, Stage.PREPROCESSING: 0.2, Stage.SEGMENTING: 0.85, Stage.WRITING: 1.0}
_RAW_ENDS = {Stage.READING: 0.1, Stage.PREPROCESSING: 0.6, Stage.SEGMENTING: 0.9, Stage.WRITING: 1.0}
"""Fraction of all stages at the end of each stage, from measured seconds (docs/performance.md)."""


class ProgressMeter:
    """Meter that turns the events of a segmentation into a fraction that never falls."""

    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress = on_progress
        self._fraction = 0.0
        self._ends = _PREPARED_ENDS
        self._steps = 0

    def start(self, stage: Stage, step: str = "") -> None:
        """Report the start of a stage."""
        self._report(stage, 0.0, step)

    def on_raw_step(self, step: str, planned: int) -> None:
        """Report the start of one of `planned` preprocessing steps of raw scans."""
        self._ends = _RAW_ENDS
        self._report(Stage.PREPROCESSING, min(1.0, self._steps / max(1, planned)), step)
        self._steps += 1

    def on_window(self, done: int, total: int) -> None:
        """Report passes of the network."""
        self._report(Stage.SEGMENTING, done / max(1, total), done=done, total=total)

    def finish(self) -> None:
        """Report the end of the last stage."""
        self._report(Stage.WRITING, 1.0)

    def _report(self, stage: Stage, part: float, step: str = "", done: int = 0, total: int = 0) -> None:
        stages = list(Stage)
        start = 0.0 if stage is stages[0] else self._ends[stages[stages.index(stage) - 1]]
        self._fraction = max(self._fraction, start + (self._ends[stage] - start) * part)
        self._on_progress(SegmentProgress(stage, self._fraction, step, done, total))
