"""Receive forms of viewers, within the same limits as other uploads."""

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Any

from starlette.requests import Request

from brats_mm_service.auth.callers import Caller
from brats_mm_service.bodies import read_small_form
from brats_mm_service.routes.documented import Answers, document_problems, document_response
from brats_mm_service.routes.jobs import check_room
from brats_mm_service.service import Service
from brats_mm_service.uploads.multipart import Form, receive_form

VIEWER_PROBLEMS: Answers = document_problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503, 507)


def document_viewer_response(example: Any) -> Answers:
    """Return the documentation of a route's 200 response in the format of MONAI Label."""
    return document_response(example, "Response as in MONAI Label")


async def receive_viewer_form(
    service: Service, request: Request, caller: Caller, folder: Path, *, files: Collection[str], texts: Collection[str]
) -> Form:
    """Receive a viewer's form into `folder`: multipart, or without files also url-encoded or empty.

    Args:
        service: the service, whose upload slots and limits apply.
        request: request whose body has not been read.
        caller: the authenticated caller.
        folder: existing folder for the files.
        files: allowed names of file parts.
        texts: allowed names of text parts.

    Raises:
        Problem: the body is invalid or exceeds a limit, or nothing can be accepted now.
        OSError: the disk is full.
    """
    await asyncio.to_thread(check_room, service, caller.name)
    if not request.headers.get("content-type", "").startswith("multipart/"):
        fields = await read_small_form(
            request, service.settings.uploads.text_bytes, service.settings.connections.body_s
        )
        return Form((), {name: text for name, text in fields.items() if name in texts})
    with service.uploads.held(caller.name):
        return await receive_form(request, folder, service.settings.uploads, files=files, texts=texts)
