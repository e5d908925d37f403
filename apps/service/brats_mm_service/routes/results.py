"""Serve results by name, with ranges and entity tags, or all results in one zip."""

import json
import shutil
import zipfile
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response

from brats_mm.io.bundle import compute_sha256
from brats_mm_service.auth.callers import Caller
from brats_mm_service.jobs.model import Job, ResultFile
from brats_mm_service.jobs.states import JobState
from brats_mm_service.problems import Problem, make_not_found_error
from brats_mm_service.routes.documented import document_problems
from brats_mm_service.routes.jobs import get_own_view
from brats_mm_service.routes.stored_file import StoredFile, create_zip
from brats_mm_service.schemas import ALL_RESULTS, CONTENT_TYPES, ResultBody, find_content_type
from brats_mm_service.service import Service

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; sandbox"
    )
}
"""Policy of the HTML report: inline styles and embedded images, and nothing from other hosts."""

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file",
        "content": dict.fromkeys(CONTENT_TYPES, _BINARY),
    },
    206: {"description": "The requested part"},
    304: {"description": "Not modified"},
}


def build_router(service: Service) -> APIRouter:
    """Return the routes under /v1/jobs/{id}/results."""
    routes = APIRouter(prefix="/v1/jobs/{job_id}/results", tags=["results"])
    reader = Depends(service.auth.require_scope("jobs:read"))

    @routes.get(
        "",
        summary="Names, sizes and hashes of a job's results",
        responses=document_problems(401, 403, 404, 409, 410),
    )
    def list_results(job_id: str, caller: Annotated[Caller, reader]) -> list[ResultBody]:
        """List the results of a finished job."""
        job = _require_finished_job(service, job_id, caller)
        return [ResultBody.from_file(job.id, file) for file in job.results]

    @routes.head("/{name}", include_in_schema=False, response_class=StoredFile)
    @routes.get(
        "/{name}",
        summary=f"One result by its name, or {ALL_RESULTS} for all of them",
        response_class=StoredFile,
        responses=_FILE | document_problems(400, 401, 403, 404, 409, 410, 416),
    )
    def read_result(
        job_id: str,
        name: str,
        request: Request,
        caller: Annotated[Caller, reader],
        if_none_match: Annotated[str | None, Header(description="entity tags of cached copies")] = None,
        range_: Annotated[str | None, Header(alias="Range", description="such as bytes=0-1023")] = None,
    ) -> Response:
        """Serve a result. Supports `Range`, `If-Range` and `If-None-Match`. The entity tag is the verified SHA-256."""
        job = _require_finished_job(service, job_id, caller)
        try:
            file = _zip(service, job) if name == ALL_RESULTS else job.result(name)
        except FileNotFoundError as error:  # deleted meanwhile
            raise make_not_found_error() from error
        if file is None:
            choices = ", ".join([*(file.name for file in job.results), ALL_RESULTS])
            raise Problem("not-found", f"This job has no such result. It has {choices}.")
        headers = {"ETag": f'"{file.sha256}"', "Cache-Control": "private, no-cache"}
        if if_none_match is not None and _matches(if_none_match, file.sha256):
            return Response(status_code=304, headers=headers)
        path = (
            service.queue.files.locate_all_results(job.id) if name == ALL_RESULTS else service.queue.verified(job, name)
        )
        check_range(range_, file.size)
        if name.endswith(".html"):
            headers |= PAGE_HEADERS
        disposition = "inline" if name.endswith(".html") else "attachment"
        return StoredFile(
            path,
            headers=headers,
            media_type=find_content_type(name),
            filename=name,
            content_disposition_type=disposition,
        )

    return routes


def check_range(header: str | None, size: int) -> None:
    """Raise a problem if a Range header requests bytes beyond the file."""
    kind, _, spec = (header or "").partition("=")
    if not header or kind.strip() != "bytes":
        return
    for part in spec.split(","):
        first, dash, last = part.strip().partition("-")
        if not dash or not (first + last).isdecimal() or not (first + last).isascii():
            raise Problem("bad-request", "The Range header is malformed. Use a range such as bytes=0-1023.")
        is_beyond_end = int(first) >= size if first else int(last) == 0
        if is_beyond_end or (first and last and int(last) < int(first)):
            message = f"The file has {size:,} bytes. Request a range within them."
            raise Problem("range-not-satisfiable", message, {"Content-Range": f"bytes */{size}"})


def _matches(header: str, tag: str) -> bool:
    return any(etag.strip().removeprefix("W/").strip('"') in (tag, "*") for etag in header.split(","))


def _require_finished_job(service: Service, job_id: str, caller: Caller) -> Job:
    job = get_own_view(service, job_id, caller).job
    if job.state is JobState.DONE:
        return job
    if job.state is JobState.EXPIRED:
        raise Problem("expired", "The results have expired and are deleted. Submit the case again.")
    if job.state is JobState.FAILED:
        raise Problem("not-ready", "The job failed, so there are no results. See its error.")
    if job.state is JobState.CANCELLED:
        raise Problem("not-ready", "The job was cancelled, so there are no results.")
    message = (
        f"The job is still {job.state.value}, so its results are not ready. Try again later, or follow its events."
    )
    raise Problem("not-ready", message)


def _zip(service: Service, job: Job) -> ResultFile:
    """Return all results in one folder of a zip, named after the job's time. Created once, without compression.

    Raises:
        Problem: a result is missing or damaged.
    """
    files = service.queue.files
    path = files.locate_all_results(job.id)
    record = path.with_suffix(".json")
    with suppress(OSError, ValueError, TypeError):
        result = ResultFile(**json.loads(record.read_text(encoding="utf-8")))
        if files.matches(path, result):
            return result
    folder = f"brats-mm_{datetime.fromtimestamp(job.created, tz=timezone.utc):%Y-%m-%d_%H%M%S}"
    with create_zip(path) as packed:
        for file in job.results:
            # Fixed dates, so that the zip and its entity tag are reproducible.
            entry = zipfile.ZipInfo(f"{folder}/{file.name}", date_time=(1980, 1, 1, 0, 0, 0))
            with (
                service.queue.verified(job, file.name).open("rb") as source,
                packed.open(entry, "w", force_zip64=True) as target,
            ):
                shutil.copyfileobj(source, target, 1 << 20)
    result = ResultFile(ALL_RESULTS, path.stat().st_size, compute_sha256(path))
    record.write_text(json.dumps(asdict(result)), encoding="utf-8")
    return result
