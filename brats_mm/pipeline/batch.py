"""Many cases in one process: the next one is read and the last one written while the network works on this one.

At any time one case is computed, few are read ahead and few wait to be written, so memory does not grow with their
number. A case that fails is an outcome like another; the rest go on.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from brats_mm.domain.prediction import Prediction
from brats_mm.domain.preprocessing import PreprocessingOptions
from brats_mm.errors import BratsMMError, Cancelled
from brats_mm.inference.engine import Progress
from brats_mm.inference.prepare import ModelInput, prepare
from brats_mm.outputs.folder import OutputFolder
from brats_mm.outputs.results import OutputOptions, refuse_to_replace, write_results, written_names
from brats_mm.pipeline.load import Loaded, load
from brats_mm.pipeline.segment import CaseSource, Segmenter

logger = logging.getLogger(__name__)

_Made = TypeVar("_Made")


@dataclass(frozen=True, eq=False)
class CaseJob:
    """One case to segment, and the folder for its results."""

    source: CaseSource
    folder: Path


@dataclass(frozen=True, eq=False)
class CaseOutcome:
    """What came of a case: the report and files, or why there are none.

    Attributes:
        job: the case.
        report: the content of `report.json`; None where it failed.
        files: what was written; empty where it failed.
        error: why it failed. An error of the library says what to mend; any other is a fault of ours.
    """

    job: CaseJob
    report: dict[str, Any] | None = None
    files: tuple[Path, ...] = ()
    error: Exception | None = None


@dataclass(frozen=True)
class Overlap:
    """How much goes on at once.

    Attributes:
        ahead: cases read before their turn.
        writers: cases written at the same time; as many more may wait.
    """

    ahead: int = 1
    writers: int = 1


@dataclass(frozen=True, eq=False)
class _Read:
    loaded: Loaded
    model_input: ModelInput
    seconds: dict[str, float]


def segment_many(
    jobs: Iterable[CaseJob | None],
    segmenter: Segmenter,
    options: OutputOptions | None = None,
    *,
    overlap: Overlap | None = None,
    preparation: PreprocessingOptions | None = None,
    on_window: Progress | None = None,
) -> Iterator[CaseOutcome]:
    """Segment cases one after another, with reading and writing overlapped; one outcome a job, in their order.

    Jobs are taken as they are needed, so they may come from a generator. Where the caller stops early, by Ctrl-C too,
    a case that is being written is finished, and nothing of the others is written.

    Args:
        jobs: cases and their folders. A None says that no case is at hand at this moment: those under way go on, and
            the run ends when there is still none after the last of them.
        segmenter: the model; it runs in the caller's thread.
        options: which files to write.
        overlap: how many cases may be under way.
        preparation: what raw scans are prepared to, and whether they are recognised at all.
        on_window: progress of the case that is computed; raising `Cancelled` from it stops the run.

    Raises:
        Cancelled: `on_window` asked for it.
    """
    chosen, width = options or OutputOptions(), overlap or Overlap()
    remaining = iter(jobs)
    ahead: deque[tuple[CaseJob, Future[_Read | Exception]]] = deque()
    behind: deque[Future[CaseOutcome]] = deque()
    readers = ThreadPoolExecutor(1, thread_name_prefix="read")
    writers = ThreadPoolExecutor(width.writers, thread_name_prefix="write")
    spacing_mm = segmenter.predictor.model.spacing_mm
    read = partial(_read, spacing_mm=spacing_mm, options=chosen, preparation=preparation or PreprocessingOptions())

    def read_on(wanted: int) -> None:
        while len(ahead) < wanted and (job := next(remaining, None)) is not None:
            ahead.append((job, readers.submit(_caught, partial(read, job))))

    try:
        read_on(1)
        while ahead:
            job, coming = ahead.popleft()
            read_on(width.ahead)
            found = coming.result()
            del coming  # or the voxels would live on while the next case is computed
            behind.append(_computed(job, found, segmenter, partial(_write_later, writers, job, chosen), on_window))
            del found
            read_on(1)
            while behind and (len(behind) > 2 * width.writers or behind[0].done()):
                yield behind.popleft().result()
        while behind:
            yield behind.popleft().result()
    finally:
        for pool in (readers, writers):
            pool.shutdown(cancel_futures=True)


def _read(job: CaseJob, *, spacing_mm: float, options: OutputOptions, preparation: PreprocessingOptions) -> _Read:
    refuse_to_replace(job.folder, options)
    start = time.perf_counter()
    loaded = load(job.source, preparation)
    middle = time.perf_counter()
    model_input = prepare(loaded.case, spacing_mm)
    seconds = {"read": middle - start, **loaded.seconds, "prepare": time.perf_counter() - middle}
    return _Read(loaded, model_input, seconds)


def _computed(
    job: CaseJob,
    found: _Read | Exception,
    segmenter: Segmenter,
    write: Callable[[Prediction, dict[str, float], Loaded | None], "Future[CaseOutcome]"],
    on_window: Progress | None,
) -> "Future[CaseOutcome]":
    """The outcome to come: of the writing that was begun, or at once where the case failed before."""
    if not isinstance(found, Exception):
        predict = segmenter.predictor.predict
        made = _caught(partial(predict, found.loaded.case, on_window=on_window, prepared=found.model_input))
        if not isinstance(made, Exception):
            made = found.loaded.back(made)
            kept = found.loaded if found.loaded.prepared else None  # the scans need not live on otherwise
            return write(made, {**made.run.seconds, **found.seconds}, kept)
        found = made
    failed: Future[CaseOutcome] = Future()
    failed.set_result(CaseOutcome(job, error=found))
    return failed


def _write_later(
    writers: ThreadPoolExecutor,
    job: CaseJob,
    options: OutputOptions,
    prediction: Prediction,
    seconds: dict[str, float],
    kept: Loaded | None,
) -> "Future[CaseOutcome]":
    return writers.submit(_write, job, options, prediction, seconds, kept)


def _write(
    job: CaseJob, options: OutputOptions, prediction: Prediction, seconds: dict[str, float], kept: Loaded | None
) -> CaseOutcome:
    def write() -> dict[str, Any]:
        with OutputFolder(job.folder) as out:
            if kept is not None:
                kept.write(out)
            return write_results(prediction, out, options, seconds=seconds)

    report = _caught(write)
    if isinstance(report, Exception):
        return CaseOutcome(job, error=report)
    names = written_names(options, prediction, report)
    more = () if kept is None else kept.extra_names
    return CaseOutcome(job, report, tuple(job.folder / name for name in (*names, *more)))


def _caught(make: Callable[[], _Made]) -> _Made | Exception:
    """What is made, or the error that came instead: one bad case must not stop the rest."""
    try:
        return make()
    except Cancelled:
        raise
    except BratsMMError as error:
        return error
    except Exception as error:
        logger.exception("A case failed for a reason that the library did not foresee.")
        return error
