"""Thread that moves studies from the archive through ordinary jobs and back. Only this thread contacts the archive.

Workers have no network access. Their input is fetched before, and their output is stored afterwards.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from brats_mm.io.dicom.suppress_warnings import suppress_warnings
from brats_mm.outputs.dicom.results import ENTROPY, REPORT, SEGMENTATION
from brats_mm.pipeline.dicom_study import SeriesOverrides
from brats_mm.pipeline.request import from_json
from brats_mm_service.dicomweb.client import DicomwebClient, DicomwebRefused, DicomwebUnreachable, is_uid
from brats_mm_service.dicomweb.transfers import Transfer, Transfers, TransferState
from brats_mm_service.jobs.model import DEFAULT_REQUEST
from brats_mm_service.jobs.queue import JobQueue
from brats_mm_service.jobs.records import QueueFull
from brats_mm_service.jobs.states import OPEN, JobState
from brats_mm_service.logs import log
from brats_mm_service.problems import Problem
from brats_mm_service.settings import DicomwebSettings
from brats_mm_service.uploads.intake import make_new_job
from brats_mm_service.workers.checker import UploadChecker

POLLER = "dicomweb"
"""Owner of the jobs of studies that were found by polling."""
_TICK_S = 0.2
_MAX_WAIT_S = 300.0


class DicomwebLink:
    """Advances transfers step by step."""

    def __init__(
        self,
        transfers: Transfers,
        queue: JobQueue,
        checker: UploadChecker,
        client: DicomwebClient,
        settings: DicomwebSettings,
        most_bytes: int,
    ) -> None:
        self._transfers = transfers
        self._queue = queue
        self._checker = checker
        self._client = client
        self._settings = settings
        self._most_bytes = most_bytes
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dicomweb-link", daemon=True)
        self._next_poll = 0.0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread. Open transfers continue after the next start."""
        self._stopping.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stopping.wait(_TICK_S):
            try:
                self._poll()
                for transfer in self._transfers.due():
                    if self._stopping.is_set():
                        return
                    self._advance(transfer)
            except Exception as error:  # noqa: BLE001, PERF203 (the thread must survive any response of an archive)
                log("dicomweb_error", level="error", error=type(error).__name__)
                self._stopping.wait(1.0)

    def _poll(self) -> None:
        if self._settings.poll_s is None or time.monotonic() < self._next_poll:
            return
        self._next_poll = time.monotonic() + self._settings.poll_s
        try:
            studies = self._client.studies()
        except (DicomwebRefused, DicomwebUnreachable):
            log("dicomweb_poll_failed", level="warning")
            return
        for study in self._transfers.take_stable_studies([entry for entry in studies if is_uid(entry[0])]):
            self._transfers.begin(study, POLLER)

    def _advance(self, transfer: Transfer) -> None:
        steps: dict[TransferState, Callable[[Transfer], None]] = {
            TransferState.FETCHING: self._fetch,
            TransferState.COMPUTING: self._check_job,
            TransferState.STORING: self._store,
        }
        try:
            steps[transfer.state](transfer)
        except DicomwebUnreachable as error:
            self._try_again(transfer, str(error))
        except DicomwebRefused as error:
            self._fail(transfer, str(error))
        except Problem as problem:
            self._fail(transfer, problem.detail)
        except QueueFull:
            self._transfers.later(transfer, self._settings.retry_s)
        except Exception as error:  # noqa: BLE001 (one study must not stop the others)
            log("dicomweb_error", level="error", error=type(error).__name__, transfer=transfer.id)
            self._fail(transfer, "An internal error occurred with this study. Contact the operator of the service.")

    def _try_again(self, transfer: Transfer, why: str) -> None:
        if transfer.attempts + 1 >= self._settings.attempts:
            message = (
                f"The archive could not be reached after {self._settings.attempts} attempts: {why}. Request the study "
                "again."
            )
            self._fail(transfer, message)
            return
        wait_s = min(_MAX_WAIT_S, self._settings.retry_s * 2.0**transfer.attempts)
        self._transfers.again(transfer, f"The archive could not be reached: {why}. The service will try again.", wait_s)
        log("dicomweb_retry", transfer=transfer.id, attempt=transfer.attempts + 1, seconds=wait_s)

    def _fail(self, transfer: Transfer, detail: str) -> None:
        self._transfers.move(transfer, TransferState.FAILED, detail=detail)
        log("dicomweb_failed", level="warning", transfer=transfer.id, state=transfer.state.value)

    def _fetch(self, transfer: Transfer) -> None:
        key = f"archive-{transfer.id}"
        earlier = self._queue.records.find_by_key(transfer.owner, key)
        if earlier is not None:  # the job was submitted just before the service ended
            self._transfers.move(transfer, TransferState.COMPUTING, job=earlier.id, detail="")
            return
        files = self._queue.files
        fetched, folder = files.incoming(), files.incoming()
        try:
            self._client.fetch(transfer.study, fetched, self._most_bytes)
            study = self._checker.store_study(fetched, folder, SeriesOverrides(study=transfer.study))
            upload = replace(study, notes=(*study.notes, "Fetched from the archive."))
            job, _ = self._queue.submit(
                make_new_job(transfer.owner, from_json({"dicom": True}, DEFAULT_REQUEST), upload, key=key), folder
            )
        finally:
            files.discard(fetched)
            files.discard(folder)
        self._transfers.move(transfer, TransferState.COMPUTING, job=job.id, detail="")
        log("dicomweb_fetched", transfer=transfer.id, job=job.id)

    def _check_job(self, transfer: Transfer) -> None:
        job = self._queue.records.get(transfer.job or "")
        if job is not None and job.state in OPEN:
            self._transfers.later(transfer, _TICK_S)
        elif job is not None and job.state is JobState.DONE:
            self._transfers.move(transfer, TransferState.STORING)
        elif job is not None and job.error is not None:
            self._fail(transfer, str(job.error["detail"]))
        else:
            self._fail(transfer, "The job was cancelled or deleted before its results were stored.")

    def _store(self, transfer: Transfer) -> None:
        import pydicom

        job = self._queue.records.get(transfer.job or "")
        if job is None or job.state is not JobState.DONE:
            raise DicomwebRefused("The job's results were deleted before they could be stored.")
        names = [self._queue.verified(job, name) for name in (SEGMENTATION, ENTROPY, REPORT)]
        with suppress_warnings():
            objects = [pydicom.dcmread(name) for name in names]
        present: list[Any] = []
        new: list[Any] = []
        for dataset in objects:
            (present if self._holds(dataset) else new).append(dataset)
        if new:
            self._client.store(transfer.study, new)
            unlisted = sum(not self._holds(dataset) for dataset in new)
            if unlisted:
                raise DicomwebUnreachable(f"{unlisted} objects were stored, but the archive does not list them")
        self._transfers.move(
            transfer,
            TransferState.DONE,
            detail="",
            stored=_format_instance_uids(new),
            present=_format_instance_uids(present),
        )
        log("dicomweb_stored", transfer=transfer.id, job=transfer.job, stored=len(new), present=len(present))

    def _holds(self, dataset: object) -> bool:
        uids = [str(getattr(dataset, name)) for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")]
        return self._client.holds(uids[0], uids[1], uids[2])


def _format_instance_uids(objects: Iterable[Any]) -> str:
    """Return the SOP Instance UIDs of DICOM objects as a JSON list for the records."""
    return json.dumps([str(dataset.SOPInstanceUID) for dataset in objects])
