"""Segment the cases of a manifest on any engine, and record every outcome at once.

A run can be stopped at any time, by Ctrl-C or a power failure. The next run continues with the unfinished cases. A
failed case never stops the others.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from brats_mm import __version__
from brats_mm.cohort.content import compute_stamp
from brats_mm.cohort.layout import (
    LEDGER,
    clear_work,
    find_lost_results,
    has_results,
    measure_result_sizes,
    prepare_output,
)
from brats_mm.cohort.ledger import Ledger
from brats_mm.cohort.manifest import Manifest
from brats_mm.cohort.records import CaseState, CaseTask, CohortCase, Layout, TaskResult
from brats_mm.cohort.tables import TableFormat, write_failures, write_results_table
from brats_mm.domain.regions import LabelConvention
from brats_mm.execution.tasks import Engine, Finished, run_tasks
from brats_mm.io.bundle import open_bundle, verify_hash
from brats_mm.outputs.parquet import require_parquet
from brats_mm.pipeline.request import SegmentRequest, to_json
from brats_mm.trust.calibration_file import build_subset_calibration_document, read_subset_calibration

_LOST = (
    "The worker of this case stopped {attempts} times ({how}), the last time with only this case. The files of the "
    "case may be damaged, or memory may be too small. Run `brats-mm segment` on the case, then the cohort again."
)


@dataclass(frozen=True)
class CohortStatus:
    """Progress of a cohort.

    Attributes:
        total: number of cases in the manifest.
        done, failed: number of cases in this run.
        skipped: number of unchanged cases from earlier runs.
        lost: number of cases from earlier runs whose result files are missing or have a different size.
        left_s: estimated remaining seconds. None before the first case.
        name: name of the case that has just ended.
        detail: reason for its failure, if it failed.
        was_skipped: whether it was finished in an earlier run.
    """

    total: int
    done: int = 0
    failed: int = 0
    skipped: int = 0
    lost: int = 0
    left_s: float | None = None
    name: str = ""
    detail: str = ""
    was_skipped: bool = False

    @property
    def ended(self) -> int:
        """Number of cases that need no more work."""
        return self.done + self.failed + self.skipped


OnCase = Callable[[CohortStatus], None]


_NOT_IN_RESULTS = (
    "input",
    "output",
    "series",
    "study",
    "bundle",
    "trust_bundle",
    "device",
    "backend",
    "overwrite",
    "participant",
    "session",
    "run",
    "acquisition",
)
"""Fields of a request that do not affect results, or that belong to a case."""


def compute_identity(request: SegmentRequest, layout: Layout = Layout.PLAIN) -> str:
    """Return a hash of everything but the case that affects results: software, weights, calibration, options.

    Args:
        request: request for every case.
        layout: layout of the results.

    Raises:
        BundleError: the bundle does not exist, or its weights differ from those that it records or was calibrated for.
    """
    bundle = open_bundle(request.model.bundle)
    weights = verify_hash(bundle)
    correction = read_subset_calibration(bundle, weights)
    document: dict[str, Any] = {
        "version": __version__,
        "weights": weights,
        "correction": None if correction is None else build_subset_calibration_document(correction, weights),
        "layout": layout.value,
        "request": {name: value for name, value in to_json(request).items() if name not in _NOT_IN_RESULTS},
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class CohortSettings:
    """Settings of a cohort run.

    Attributes:
        identity: hash of model and options. Results of another identity are replaced.
        layout: layout of the results.
        labels: label convention.
        table: format of the results table.
    """

    identity: str
    layout: Layout = Layout.PLAIN
    labels: LabelConvention = LabelConvention.BRATS2023
    table: TableFormat = TableFormat.PARQUET


def run_cohort(
    manifest: Manifest,
    folder: Path,
    engine: Engine[CaseTask, TaskResult],
    settings: CohortSettings,
    on_case: OnCase | None = None,
) -> CohortStatus:
    """Segment the unfinished cases of a manifest, and write the tables.

    Args:
        manifest: the cases.
        folder: folder for results, tables and records.
        engine: engine to run on. Started and stopped here.
        settings: settings of the run.
        on_case: called for each case that has ended.

    Returns:
        The final status. The tables are always written, even after an interruption.

    Raises:
        OutputError: the folder cannot be used, or the disk is full.
        BratsMMError: no case can be computed.
        KeyboardInterrupt: interrupted. Finished cases are kept.
    """
    if settings.table is TableFormat.PARQUET:
        require_parquet("use --table csv")
    prepare_output(folder, settings.layout, settings.labels, manifest.path, version=__version__)
    with Ledger(folder / LEDGER) as ledger:
        run = _Run(manifest, folder, ledger, settings, on_case)
        try:
            with engine:
                for finished in run_tasks(engine, run.iterate_tasks()):
                    run.record(finished)
        finally:
            clear_work(folder)
            write_results_table(folder, ledger.iterate_rows(), settings.table)
            write_failures(folder, ledger.iterate_failures())
        return run.status


class _Run:
    """One run: dispatch pending cases and record results."""

    def __init__(
        self, manifest: Manifest, folder: Path, ledger: Ledger, settings: CohortSettings, on_case: OnCase | None
    ) -> None:
        self.status = CohortStatus(manifest.count)
        self._manifest, self._folder, self._ledger, self._settings = manifest, folder, ledger, settings
        self._on_case = on_case
        self._stamps: dict[str, str] = {}  # of the cases in progress
        self._begun = time.monotonic()

    def iterate_tasks(self) -> Iterator[CaseTask]:
        """Yield a task for each case to compute. Other cases are counted."""
        for case in self._manifest.cases():
            task = self._make_task(case)
            if task is not None:
                yield task

    def _make_task(self, case: CohortCase) -> CaseTask | None:
        """Return the task for a case, or None if nothing needs to be computed."""
        if not self._ledger.is_new(case.name):
            self._record_fault(
                case, f"The manifest contains several cases {case.name!r}. Give each case a different name."
            )
            return None
        if case.fault is not None:
            self._record_fault(case, case.fault)
            return None
        try:
            stamp = compute_stamp(case)
        except OSError:
            stamp = ""  # the worker reports what is missing
        self._stamps[case.name] = stamp
        finished = self._ledger.find_finished(case.name)
        if finished is None or finished.identity != self._settings.identity:
            return CaseTask(case, str(self._folder))
        if not has_results(self._folder, case.name, self._settings.layout) or find_lost_results(
            self._folder, finished.sizes
        ):
            self.status = replace(self.status, lost=self.status.lost + 1)
            return CaseTask(case, str(self._folder))
        if stamp and finished.stamp == stamp:
            del self._stamps[case.name]
            self._count(case.name, skipped=1)
            return None
        return CaseTask(case, str(self._folder), finished.content)

    def _record_fault(self, case: CohortCase, detail: str) -> None:
        self._ledger.record_fault(case, detail)
        self._count(case.name, failed=1, detail=detail)

    def record(self, finished: Finished[CaseTask, TaskResult]) -> None:
        """Record the outcome of a case."""
        name, attempts, result = finished.task.name, finished.attempts, finished.result
        if result is None:
            lost = _LOST.format(how=finished.lost, attempts=attempts)
            result = TaskResult(name, CaseState.FAILED, kind="worker-crash", detail=lost)
        stamp = self._stamps.pop(name)
        state = result.state
        sizes = measure_result_sizes(self._folder, name, self._settings.layout) if state is CaseState.DONE else {}
        self._ledger.record(result, stamp=stamp, identity=self._settings.identity, attempts=attempts, sizes=sizes)
        self._count(
            name,
            done=int(state is CaseState.DONE),
            failed=int(state is CaseState.FAILED),
            skipped=int(state is CaseState.SAME),
            detail=result.detail,
        )

    def _count(self, name: str, *, done: int = 0, failed: int = 0, skipped: int = 0, detail: str = "") -> None:
        status = self.status
        computed = status.done + done + status.failed + failed
        remaining = status.total - status.ended - 1
        self.status = replace(
            status,
            done=status.done + done,
            failed=status.failed + failed,
            skipped=status.skipped + skipped,
            left_s=(time.monotonic() - self._begun) / computed * remaining if computed else None,
            name=name,
            detail=detail,
            was_skipped=bool(skipped),
        )
        if self._on_case is not None:
            self._on_case(self.status)
