"""Show the table of `brats-mm inspect` for a case before a job is submitted."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from brats_mm.pipeline.dicom_study import SeriesOverrides
from brats_mm_service.auth.callers import Caller
from brats_mm_service.problems import Problem
from brats_mm_service.routes.documented import problems
from brats_mm_service.routes.jobs import check_room, parse_options, too_many
from brats_mm_service.service import Service
from brats_mm_service.uploads.intake import CASE
from brats_mm_service.uploads.multipart import Form, receive_form
from brats_mm_service.uploads.slots import NoSlot
from brats_mm_service.workers.checker import UploadChecker

_TABLE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The output of `brats-mm inspect --json`",
        "content": {"application/json": {"example": {"kind": "DICOM", "patients": 1, "studies": [], "problems": []}}},
    }
}


def router(service: Service) -> APIRouter:
    """Return the route /v1/inspect."""
    routes = APIRouter(prefix="/v1", tags=["jobs"])
    writer = Depends(service.auth.require_scope("jobs:write"))

    @routes.post(
        "/inspect",
        summary="Inspect a zip of a case: its series or files, and those that a job would use",
        responses=_TABLE | problems(400, 401, 403, 408, 413, 415, 422, 429, 503, 507),
        openapi_extra=_BODY,
    )
    async def inspect(request: Request, caller: Annotated[Caller, writer]) -> dict[str, Any]:
        """Read names and headers of the zip. Nothing is computed or kept."""
        queue = service.queue
        await asyncio.to_thread(check_room, service, caller.name)
        try:
            with service.uploads.held(caller.name):
                folder = await asyncio.to_thread(queue.files.incoming)
                try:
                    limits = service.settings.uploads
                    form = await receive_form(request, folder, limits, files=(CASE,), texts=("options",))
                    return await asyncio.to_thread(inspect_upload, form, folder, service.checker)
                finally:
                    await asyncio.to_thread(queue.files.discard, folder)
        except NoSlot as full:
            raise too_many(service, str(full)) from full

    return routes


_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [CASE],
                    "properties": {
                        CASE: {"type": "string", "format": "binary", "description": "a zip of one case's folder"},
                        "options": {
                            "type": "string",
                            "contentMediaType": "application/json",
                            "description": "JSON with `series` and `study`, as for a job",
                        },
                    },
                }
            }
        },
    }
}


def inspect_upload(form: Form, folder: Path, checker: UploadChecker) -> dict[str, Any]:
    """Return the table of `brats-mm inspect` for a received zip.

    Args:
        form: received form with a zip.
        folder: folder of the received files.
        checker: process that reads uploads.

    Raises:
        Problem: there is no zip, or it contains nothing to inspect.
    """
    if len(form.files) != 1:
        raise Problem("bad-case", "Send one zip of a case's folder, as the part 'case'.")
    request = parse_options(form.texts.get("options")).request()
    overrides = SeriesOverrides(request.series, request.study, request.bids)
    return checker.inspect_zip(form.files[0].path, folder, overrides)
