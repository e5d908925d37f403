"""What a cohort's worker does with a case: hash it, segment it, put its results where they belong, say so in a row."""

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from brats_mm.cohort.content import content_of
from brats_mm.cohort.layout import publish, work_folder
from brats_mm.cohort.records import CaseState, CaseTask, CohortOutput, TaskResult
from brats_mm.cohort.tables import row_of
from brats_mm.domain.preprocessing import PreprocessingOptions
from brats_mm.errors import BratsMMError, OutputError
from brats_mm.outputs.results import OutputOptions
from brats_mm.pipeline.batch import CaseJob, CaseOutcome, Overlap, segment_many
from brats_mm.pipeline.segment import CaseSource, Segmenter

_OURS = "The software met an error of its own ({kind}). Please report it; the other cases are not affected."


@dataclass(frozen=True, eq=False)
class SegmentRunner:
    """Segments tasks with a loaded model; reads the next and writes the last meanwhile."""

    segmenter: Segmenter
    output: CohortOutput
    preparation: PreprocessingOptions

    def run(self, tasks: Iterable[CaseTask | None]) -> Iterator[TaskResult]:
        """Results as they come."""
        with ThreadPoolExecutor(1, thread_name_prefix="hash") as hasher:
            jobs = _Jobs(tasks, self.output, hasher)
            outcomes = segment_many(
                jobs, self.segmenter, self._options(), overlap=Overlap(), preparation=self.preparation
            )
            for outcome in outcomes:
                yield from jobs.unchanged()
                yield self._result(outcome, *jobs.under_way.pop(outcome.job.folder))
            yield from jobs.unchanged()

    def _options(self) -> OutputOptions:
        wanted = self.output
        return OutputOptions(
            convention=wanted.convention,
            probabilities=wanted.probabilities,
            importance_maps=wanted.importance_maps,
            preview=wanted.preview,
            report=wanted.report,
            scene=wanted.scene,
            overwrite=True,  # the folder is the cohort's own, and its records say that the case is not done
        )

    def _result(self, outcome: CaseOutcome, task: CaseTask, hashed: "Future[str]") -> TaskResult:
        name = task.case.name
        content = "" if hashed.exception() is not None else hashed.result()
        if outcome.error is not None or outcome.report is None:
            return _failed(name, content, outcome.error or RuntimeError())
        try:
            importance = json.loads((outcome.job.folder / "importance.json").read_text("utf-8"))
            place = publish(Path(task.output), name, self.output.layout)
        except OutputError as error:
            return _failed(name, content, error)
        row = row_of(name, place.as_posix(), outcome.report, importance)
        return TaskResult(name, CaseState.DONE, content, row)


@dataclass(eq=False)
class _Jobs:
    """Tasks as jobs of `segment_many`; those whose content has not changed are passed over."""

    tasks: Iterable[CaseTask | None]
    output: CohortOutput
    hasher: ThreadPoolExecutor
    under_way: "dict[Path, tuple[CaseTask, Future[str]]]" = field(default_factory=dict)
    same: list[TaskResult] = field(default_factory=list)

    def __iter__(self) -> Iterator[CaseJob | None]:
        for task in self.tasks:
            if task is None:
                yield None
                continue
            hashed = self.hasher.submit(content_of, task.case)
            if task.known is not None and hashed.exception() is None and hashed.result() == task.known:
                self.same.append(TaskResult(task.case.name, CaseState.SAME, task.known))
                continue
            folder = work_folder(Path(task.output), task.case.name, self.output.layout)
            self.under_way[folder] = (task, hashed)
            yield CaseJob(_source(task), folder)

    def unchanged(self) -> Iterator[TaskResult]:
        """Those that were passed over since it was last asked."""
        while self.same:
            yield self.same.pop(0)


def _source(task: CaseTask) -> CaseSource:
    case = task.case
    if case.folder is not None:
        return Path(case.folder)
    return {modality: Path(file) for modality, file in case.files.items()}


def _failed(name: str, content: str, error: Exception) -> TaskResult:
    if isinstance(error, BratsMMError):
        return TaskResult(name, CaseState.FAILED, content, kind=type(error).__name__, detail=str(error))
    kind = type(error).__name__
    return TaskResult(name, CaseState.FAILED, content, kind="internal", detail=_OURS.format(kind=kind))
