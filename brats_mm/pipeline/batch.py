"""Segment many cases in one process, and read and write other cases while the network computes.

A few cases are read ahead and a few wait to be written, so memory does not grow with the number of cases. A failed case
yields an outcome with its error, and the other cases continue.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from brats_mm.domain.prediction import Prediction
from brats_mm.errors import BratsMMError, Cancelled
from brats_mm.inference.engine import Progress
from brats_mm.outputs.folder import OutputFolder
from brats_mm.pipeline.check import check
from brats_mm.pipeline.load import load
from brats_mm.pipeline.request import SegmentRequest
from brats_mm.pipeline.segment import Extras, Preprocessed, predict, preprocess, restore, write
from brats_mm.pipeline.segmenter import Segmenter

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")


@dataclass(frozen=True, eq=False)
class CaseOutcome:
    """Outcome of a request: report and files, or the error.

    Attributes:
        request: the request.
        report: content of `report.json`. None if it failed.
        files: written files. Empty if it failed.
        error: the error, if it failed. The message of a `BratsMMError` is for the user. Any other error is a bug.
    """

    request: SegmentRequest
    report: dict[str, Any] | None = None
    files: tuple[Path, ...] = ()
    error: Exception | None = None


@dataclass(frozen=True)
class Overlap:
    """Number of cases in progress besides the one being computed.

    Attributes:
        ahead: cases to read ahead.
        writers: cases to write in parallel. The same number may wait.
    """

    ahead: int = 1
    writers: int = 1


def segment_many(
    requests: Iterable[SegmentRequest | None],
    segmenter: Segmenter,
    *,
    overlap: Overlap | None = None,
    on_window: Progress | None = None,
) -> Iterator[CaseOutcome]:
    """Segment cases one after another with overlapped reading and writing, and yield their outcomes in order.

    Requests are consumed as needed, so they can come from a generator. If the caller stops early, for example with
    Ctrl-C, a case that is being written is finished, and other cases are not written.

    Args:
        requests: the cases. None means that no case is available at the moment. Cases in progress continue, and the run
            ends if there is still no case after them.
        segmenter: the model, which runs in the caller's thread.
        overlap: number of cases in progress.
        on_window: progress callback for the case being computed. It can raise `Cancelled` to stop the run.

    Raises:
        Cancelled: `on_window` raised it.
    """
    width = overlap or Overlap()
    remaining = iter(requests)
    ahead: deque[tuple[SegmentRequest, Future[Preprocessed | Exception]]] = deque()
    behind: deque[Future[CaseOutcome]] = deque()
    readers = ThreadPoolExecutor(1, thread_name_prefix="read")
    writers = ThreadPoolExecutor(width.writers, thread_name_prefix="write")

    def read_ahead(count: int) -> None:
        while len(ahead) < count and (request := next(remaining, None)) is not None:
            ahead.append((request, readers.submit(_try, partial(_read, request, segmenter.spacing_mm))))

    try:
        read_ahead(1)
        while ahead:
            request, reading = ahead.popleft()
            read_ahead(width.ahead)
            ready = reading.result()
            del reading  # release the voxels before the next case is computed
            behind.append(_compute(request, ready, segmenter, writers, on_window))
            del ready
            read_ahead(1)
            while behind and (len(behind) > 2 * width.writers or behind[0].done()):
                yield behind.popleft().result()
        while behind:
            yield behind.popleft().result()
    finally:
        for pool in (readers, writers):
            pool.shutdown(cancel_futures=True)


def _read(request: SegmentRequest, spacing_mm: float) -> Preprocessed:
    check(request)
    return preprocess(load(request), request.preprocessing, spacing_mm=spacing_mm)


def _compute(
    request: SegmentRequest,
    ready: Preprocessed | Exception,
    segmenter: Segmenter,
    writers: ThreadPoolExecutor,
    on_window: Progress | None,
) -> "Future[CaseOutcome]":
    """Return the future outcome of writing the prediction, or the outcome of an earlier failure."""
    if isinstance(ready, Preprocessed):
        case = ready
        restored = _try(lambda: restore(predict(case, segmenter, request.outputs, on_window=on_window), case))
        if isinstance(restored, Prediction):
            return writers.submit(_write, request, restored, ready.extras)
        ready = restored
    failed: Future[CaseOutcome] = Future()
    failed.set_result(CaseOutcome(request, error=ready))
    return failed


def _write(request: SegmentRequest, prediction: Prediction, extras: Extras) -> CaseOutcome:
    def write_all() -> tuple[dict[str, Any], tuple[Path, ...]]:
        with OutputFolder(check(request)) as out:
            return write(prediction, out, request.outputs, extras)

    result = _try(write_all)
    return CaseOutcome(request, error=result) if isinstance(result, Exception) else CaseOutcome(request, *result)


def _try(make: Callable[[], _Result]) -> _Result | Exception:
    """Return the result or the error, because one failed case must not stop the others."""
    try:
        return make()
    except Cancelled:
        raise
    except BratsMMError as error:
        return error
    except Exception as error:
        logger.exception("A case failed with an unexpected error.")
        return error
