"""Submit, show, list and cancel jobs."""

import asyncio
import base64
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import ValidationError

from brats_mm.pipeline.dicom_study import SeriesOverrides
from brats_mm_service.auth.callers import Caller
from brats_mm_service.jobs.model import Job
from brats_mm_service.jobs.queue import JobView
from brats_mm_service.problems import Problem, make_not_found_error
from brats_mm_service.routes.documented import JOB_EXAMPLE, SUBMISSION, document_problems
from brats_mm_service.routes.receiving import open_incoming_folder
from brats_mm_service.schemas import JobBody, JobsBody, OptionsBody, make_job_path
from brats_mm_service.service import Service
from brats_mm_service.settings import GIB
from brats_mm_service.uploads.intake import FILE_FIELDS, make_new_job
from brats_mm_service.uploads.multipart import Form, receive_form

_MAX_KEY_LENGTH = 128
_STILL_SHOWN = (
    "Only DICOM headers are de-identified. Preview, report and scene show the image, including burned-in "
    "annotations and the face."
)


def build_router(service: Service) -> APIRouter:
    """Return the routes under /v1/jobs."""
    routes = APIRouter(prefix="/v1/jobs", tags=["jobs"])
    reader = Depends(service.auth.require_scope("jobs:read"))
    writer = Depends(service.auth.require_scope("jobs:write"))
    keep_s = service.settings.retention.result_s

    def build_job_body(view: JobView) -> JobBody:
        return JobBody.from_view(view, keep_s)

    @routes.post(
        "",
        status_code=202,
        summary="Submit a case with the sequences it has",
        responses=document_problems(400, 401, 403, 408, 413, 415, 422, 429, 503, 507)
        | {202: JOB_EXAMPLE, 200: {**JOB_EXAMPLE, "description": "The job of an earlier request with that key"}},
        openapi_extra=SUBMISSION,
    )
    async def submit(
        request: Request,
        response: Response,
        caller: Annotated[Caller, writer],
        key: Annotated[
            str | None,
            Header(alias="Idempotency-Key", description="Any text. A repeated request with the same key runs once."),
        ] = None,
    ) -> JobBody:
        """Stream the files to disk, check them, and return the job with its recognised and missing sequences."""
        if key is not None and not 0 < len(key) <= _MAX_KEY_LENGTH:
            raise Problem("bad-request", f"The Idempotency-Key must have 1 to {_MAX_KEY_LENGTH} characters.")
        job, is_new = await accept(service, request, caller, key)
        request.state.job = job.id
        response.status_code = 202 if is_new else 200
        response.headers["Location"] = make_job_path(job.id)
        view = await asyncio.to_thread(service.queue.view, job.id)
        if view is None:
            raise make_not_found_error()
        return build_job_body(view)

    @routes.get("", summary="List your jobs, newest first", responses=document_problems(400, 401, 403, 422))
    async def list_jobs(
        caller: Annotated[Caller, reader],
        limit: Annotated[int, Query(ge=1, le=100, description="jobs per page")] = 20,
        cursor: Annotated[str | None, Query(max_length=64, description="from `next` of the previous page")] = None,
    ) -> JobsBody:
        """List the caller's jobs."""
        jobs, more = service.queue.records.page(caller.name, before=_decode_cursor(cursor), size=limit)
        following = None if more is None else f"/v1/jobs?limit={limit}&cursor={_encode_cursor(more)}"
        waiting = service.queue.records.waiting()
        positions = {job_id: position for position, job_id in enumerate(waiting)}
        views = [JobView(job, service.queue.progress(job), positions.get(job.id)) for job in jobs]
        return JobsBody(jobs=[build_job_body(view) for view in views], next=following)

    @routes.get(
        "/{job_id}",
        summary="State, progress, position in the queue, error, results",
        responses=document_problems(401, 403, 404) | {200: JOB_EXAMPLE},
    )
    async def read_job(job_id: str, caller: Annotated[Caller, reader]) -> JobBody:
        """Return a job. Responds at once, even while the model computes."""
        # Reading a record takes a fraction of a millisecond and never waits for a writer, so it needs no thread.
        return build_job_body(get_own_view(service, job_id, caller))

    @routes.delete(
        "/{job_id}",
        status_code=204,
        summary="Cancel an open job, or delete an ended one",
        responses=document_problems(401, 403, 404),
    )
    def delete(job_id: str, caller: Annotated[Caller, writer]) -> None:
        """Delete all files of a job before the response. The record of a cancelled job is kept for a while."""
        service.queue.remove(get_own_view(service, job_id, caller).job)

    return routes


def get_own_view(service: Service, job_id: str, caller: Caller) -> JobView:
    """Return a job of the caller.

    Raises:
        Problem: the job does not exist or belongs to another caller. Both get the same response.
    """
    view = service.queue.view(job_id)
    if view is None or view.job.owner != caller.name:
        raise make_not_found_error()
    return view


async def accept(service: Service, request: Request, caller: Caller, key: str | None) -> tuple[Job, bool]:
    """Receive a submission, and return the job and whether it is new.

    Raises:
        Problem: the job cannot be accepted.
    """
    start = time.monotonic()
    await asyncio.to_thread(check_room, service, caller.name, key)
    with service.uploads.held(caller.name):
        async with open_incoming_folder(service) as folder:
            form = await receive_form(request, folder, service.settings.uploads, files=FILE_FIELDS, texts=("options",))
            job, is_new = await asyncio.to_thread(_submit, service, form, folder, caller, key)
    service.metrics.stages.labels("upload").observe(time.monotonic() - start)
    return job, is_new


def _submit(service: Service, form: Form, folder: Path, caller: Caller, key: str | None) -> tuple[Job, bool]:
    options = parse_options(form.texts.get("options"))
    request = options.request()
    overrides = SeriesOverrides(request.series, request.study, request.bids)
    upload = service.checker.sort_upload(form.files, folder, dicom=overrides)
    if request.outputs.deidentify:
        upload = replace(upload, notes=(*upload.notes, _STILL_SHOWN))
    new = make_new_job(caller.name, request, upload, keep_upload=options.keep_upload, files=form.files, key=key)
    job, is_new = service.queue.submit(new, folder)
    if not is_new and job.fingerprint != new.fingerprint:
        message = "This Idempotency-Key was used with other files or options. Use a new key for a new request."
        raise Problem("idempotency-conflict", message)
    return job, is_new


def parse_options(text: str | None) -> OptionsBody:
    """Parse the options of a submission. Without text, return the default options.

    Raises:
        Problem: the text is not a JSON object of known options.
    """
    if text is None or not text.strip():
        return OptionsBody()
    try:
        body: OptionsBody = OptionsBody.model_validate_json(text)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, detail['loc'])) or 'options'}: {detail['msg']}" for detail in error.errors()]
        names = ", ".join(OptionsBody.model_fields)
        message = f"The options are invalid: {'; '.join(faults[:5])}. Send a JSON object with any of {names}."
        raise Problem("bad-option", message) from error
    return body


def check_room(service: Service, owner: str, key: str | None = None) -> None:
    """Reject a request that cannot be accepted before reading its body, unless it repeats the one with that key.

    Raises:
        Problem: too many jobs are waiting, the disk or the caller's share of it is full, or the model cannot be loaded.
    """
    queue = service.queue
    if key is None or queue.records.find_by_key(owner, key) is None:
        queue.records.check_room(owner, queue.limits)
    if service.workers.has_given_up:
        raise Problem("unavailable", service.workers.readiness.reason)
    if queue.files.free_bytes() < service.settings.uploads.free_bytes:
        message = "The service's disk is nearly full. Delete jobs that you no longer need, or contact the operator."
        raise Problem("disk-full", message)
    most = queue.limits.kept_bytes_per_caller
    used = queue.count_used_bytes(owner) + service.viewer_store.count_used_bytes(owner)
    used += service.corrections.count_used_bytes(owner)
    if used >= most:
        allowed = f"of {most / GIB:.1f} GiB allowed"
        message = f"Your jobs, images and labels use {used / GIB:.1f} GiB {allowed}. Delete some of them."
        raise Problem("quota", message)


def _encode_cursor(serial: int) -> str:
    return base64.urlsafe_b64encode(str(serial).encode()).decode().rstrip("=")


def _decode_cursor(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    try:
        serial = int(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode())
    except ValueError as error:
        raise Problem("bad-request", "The cursor is invalid. Use `next` of the previous page.") from error
    if not 0 <= serial < 2**62:
        raise Problem("bad-request", "The cursor is invalid. Use `next` of the previous page.")
    return serial
