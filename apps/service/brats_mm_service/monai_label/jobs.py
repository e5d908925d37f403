"""Run a viewer's request as a job in the common queue, while the viewer waits for the response."""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request

from brats_mm.io.bundle import compute_sha256
from brats_mm.learning.versions import BASE
from brats_mm_service.auth.callers import Caller
from brats_mm_service.jobs.model import DEFAULT_REQUEST, Job
from brats_mm_service.jobs.states import OPEN, JobState
from brats_mm_service.problems import Problem, extract_kind, make_not_found_error
from brats_mm_service.routes.about import read_base_version
from brats_mm_service.service import Service
from brats_mm_service.uploads.intake import make_new_job
from brats_mm_service.uploads.sorted_upload import SortedUpload

_LOOK_S = 1.0
_MAX_ATTEMPTS = 20


class ViewerJobs:
    """Run cases for viewers. A repeated request for the same case, such as for its entropy, is not computed again."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._waiting: Counter[str] = Counter()

    async def run(self, request: Request, caller: Caller, upload: SortedUpload, folder: Path) -> Job:
        """Run the job of a case to its end and return it.

        Args:
            request: request of the viewer. If the viewer disconnects, the job is cancelled.
            caller: owner of the job.
            upload: sequences of the case.
            folder: folder of the sequences. It is moved into the job.

        Raises:
            Problem: the job was not accepted, or failed.
        """
        job = await asyncio.to_thread(self._submit, caller, upload, folder)
        request.state.job = job.id
        self._waiting[job.id] += 1
        try:
            return _require_finished(await self._wait(request, job))
        finally:
            self._waiting[job.id] -= 1
            if not self._waiting[job.id]:
                del self._waiting[job.id]

    def _submit(self, caller: Caller, upload: SortedUpload, folder: Path) -> Job:
        queue = self._service.queue
        hashes = json.dumps(
            {name: compute_sha256(folder / file) for name, file in upload.sequences.items()}, sort_keys=True
        )
        # Another version of the model computes the same case again.
        hashes += self._service.models.active().version.removeprefix(BASE)
        content = hashlib.sha256(hashes.encode()).hexdigest()
        key = None
        for number in range(_MAX_ATTEMPTS):
            key = f"viewer-{content[:40]}-{number}"
            earlier = queue.records.find_by_key(caller.name, key)
            if earlier is None:
                break
            if earlier.state in OPEN or self._is_current(earlier):
                return earlier
            key = None
        new = make_new_job(caller.name, DEFAULT_REQUEST, upload, key=key)
        return queue.submit(new, folder)[0]

    def _is_current(self, job: Job) -> bool:
        """Return whether the version that finished a job is still active."""
        if job.state is not JobState.DONE:
            return False
        active = self._service.models.active().version
        model = read_result_json(self._service.queue.files.result(job.id), "report.json").get("model")
        computed_by = model.get("version") if isinstance(model, Mapping) else None
        return computed_by in (None, read_base_version(self._service) if active == BASE else active)

    async def _wait(self, request: Request, job: Job) -> Job:
        queue = self._service.queue
        while True:
            current = await queue.wait(job.id, _LOOK_S)
            if current is None:
                raise make_not_found_error()
            if current.state not in OPEN:
                return current
            if await request.is_disconnected():
                if self._waiting[job.id] == 1:
                    await asyncio.to_thread(queue.remove, current)
                raise Problem("cancelled", "The viewer disconnected, so the job was cancelled.")


def _require_finished(job: Job) -> Job:
    if job.state is JobState.DONE:
        return job
    if job.state is JobState.FAILED and job.error is not None:
        raise Problem(extract_kind(job.error), str(job.error["detail"]))
    raise Problem("cancelled", "The job was cancelled, so there is no result.")


def read_result_json(result: Path, name: str) -> Mapping[str, object]:
    """Return a JSON result of a job, or an empty object if there is none."""
    try:
        content = json.loads((result / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
