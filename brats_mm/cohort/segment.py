"""Segment the cases of a cohort in a worker: hash, segment, publish results, and return a table row."""

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from brats_mm.cohort.content import hash_content
from brats_mm.cohort.layout import prepare_work_folder, publish
from brats_mm.cohort.records import CaseState, CaseTask, Layout, TaskResult
from brats_mm.cohort.tables import build_row
from brats_mm.errors import BratsMMError, OutputError
from brats_mm.pipeline.batch import CaseOutcome, segment_many
from brats_mm.pipeline.load import CaseSource
from brats_mm.pipeline.request import SegmentRequest
from brats_mm.pipeline.segmenter import Segmenter

_INTERNAL_ERROR = "An internal error occurred ({kind}). Please report it. Other cases are not affected."


@dataclass(frozen=True, eq=False)
class SegmentRunner:
    """Runner that segments tasks with a loaded model. Meanwhile, it reads the next case and writes the previous one.

    Attributes:
        segmenter: the loaded model.
        request: request for every case, without input and output.
        layout: layout of the results.
    """

    segmenter: Segmenter
    request: SegmentRequest
    layout: Layout = Layout.PLAIN

    def run(self, tasks: Iterable[CaseTask | None]) -> Iterator[TaskResult]:
        """Yield results as they become available."""
        with ThreadPoolExecutor(1, thread_name_prefix="hash") as hasher:
            # The folder belongs to the cohort, and the case is not recorded as done.
            template = replace(self.request, outputs=replace(self.request.outputs, overwrite=True))
            jobs = _Jobs(tasks, template, self.layout, hasher)
            for outcome in segment_many(jobs, self.segmenter):
                yield from jobs.take_unchanged()
                yield self._make_result(outcome, *jobs.under_way.pop(outcome.request.output))
            yield from jobs.take_unchanged()

    def _make_result(self, outcome: CaseOutcome, task: CaseTask, hashed: "Future[str]") -> TaskResult:
        name, work = task.case.name, outcome.request.output
        content = "" if hashed.exception() is not None else hashed.result()
        if outcome.error is not None or outcome.report is None or work is None:
            return _make_failed_result(name, content, outcome.error or RuntimeError())
        try:
            importance = json.loads((work / "importance.json").read_text("utf-8"))
            location = publish(Path(task.output), name, self.layout)
        except OutputError as error:
            return _make_failed_result(name, content, error)
        row = build_row(name, location.as_posix(), outcome.report, importance)
        return TaskResult(name, CaseState.DONE, content, row)


@dataclass(eq=False)
class _Jobs:
    """Iterator over tasks as requests. Tasks with unchanged content are skipped."""

    tasks: Iterable[CaseTask | None]
    template: SegmentRequest
    layout: Layout
    hasher: ThreadPoolExecutor
    under_way: "dict[Path | None, tuple[CaseTask, Future[str]]]" = field(default_factory=dict)
    same: list[TaskResult] = field(default_factory=list)

    def __iter__(self) -> Iterator[SegmentRequest | None]:
        for task in self.tasks:
            if task is None:
                yield None
                continue
            hashed = self.hasher.submit(hash_content, task.case)
            if task.known is not None and hashed.exception() is None and hashed.result() == task.known:
                self.same.append(TaskResult(task.case.name, CaseState.SAME, task.known))
                continue
            folder = prepare_work_folder(Path(task.output), task.case.name, self.layout)
            self.under_way[folder] = (task, hashed)
            yield replace(self.template, input=_find_source(task), output=folder)

    def take_unchanged(self) -> Iterator[TaskResult]:
        """Return the tasks skipped since the last call."""
        while self.same:
            yield self.same.pop(0)


def _find_source(task: CaseTask) -> CaseSource:
    case = task.case
    if case.folder is not None:
        return Path(case.folder)
    return {modality: Path(file) for modality, file in case.files.items()}


def _make_failed_result(name: str, content: str, error: Exception) -> TaskResult:
    if isinstance(error, BratsMMError):
        return TaskResult(name, CaseState.FAILED, content, kind=type(error).__name__, detail=str(error))
    kind = type(error).__name__
    return TaskResult(name, CaseState.FAILED, content, kind="internal", detail=_INTERNAL_ERROR.format(kind=kind))
