"""MONAI Label's sessions: files that are sent once and used in several requests.

Several files of one case, named by their sequences, or a zip of them, are one session.
"""

from pathlib import Path
from secrets import token_urlsafe
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from brats_mm_service.auth.callers import Caller
from brats_mm_service.monai_label.forms import VIEWER_PROBLEMS, document_viewer_response, receive_viewer_form
from brats_mm_service.monai_label.images import ViewerImages, make_missing_session_error
from brats_mm_service.routes.documented import document_form
from brats_mm_service.routes.receiving import open_incoming_folder
from brats_mm_service.routes.stored_file import StoredFile
from brats_mm_service.service import Service
from brats_mm_service.uploads.multipart import Form
from brats_mm_service.viewer.intake import extract_plain_name
from brats_mm_service.viewer.store import Item, Kind

MAX_SESSION_S = 3600.0
_EXAMPLE = {"name": "t1ce.nii.gz", "path": "", "image": "t1ce.nii.gz", "expiry": 3600}


def build_router(service: Service) -> APIRouter:
    """Return the routes under /session/."""
    routes = APIRouter(prefix="/session", tags=["MONAI Label"], responses=VIEWER_PROBLEMS)
    reader = Depends(service.auth.require_scope("jobs:read"))
    writer = Depends(service.auth.require_scope("jobs:write"))
    images = ViewerImages(service)

    @routes.put(
        "/",
        summary="MONAI Label: begin a session with one file, several, or a zip",
        openapi_extra=document_form("files", many=True, required=("files",)),
        responses=document_viewer_response({"session_id": "h7Qe0m3Jx2vYb1kT9sWcRz5a", "session_info": _EXAMPLE}),
    )
    async def begin_session(
        request: Request,
        caller: Annotated[Caller, writer],
        *,
        uncompress: Annotated[bool, Query(description="not needed, since zip files are detected")] = False,
        expiry: Annotated[int, Query(description="lifetime in seconds, or 0 for the maximum of 3600")] = 0,
    ) -> dict[str, Any]:
        """Receive files, which are checked at once and recognised by name."""
        async with open_incoming_folder(service) as folder:
            form = await receive_viewer_form(
                service, request, caller, folder, files=("files",), texts=("client_id", "params")
            )
            item = await run_in_threadpool(_keep, images, caller, form, folder, expiry)
        return {"session_id": item.id, "session_info": _describe(item)}

    @routes.get(
        "/{session_id}",
        summary="MONAI Label: information about a session",
        responses=document_viewer_response(_EXAMPLE),
    )
    def read_session(
        session_id: str,
        caller: Annotated[Caller, reader],
        *,
        update_ts: Annotated[bool, Query(description="count this as a use")] = False,
        image: Annotated[bool, Query(description="return the file instead of its description")] = False,
    ) -> Any:
        """Return a session, or 404 if it has ended."""
        item = _get_session(images, caller, session_id)
        if update_ts:
            try:
                item = images.store.change(caller.name, Kind.SESSION, item)
            except FileNotFoundError as error:
                raise make_missing_session_error() from error
        return _make_file_response(images, caller, item) if image else _describe(item)

    @routes.delete("/{session_id}", summary="MONAI Label: end a session", responses=document_viewer_response(_EXAMPLE))
    def end_session(session_id: str, caller: Annotated[Caller, writer]) -> dict[str, Any]:
        """Delete a session. Its files are deleted before the response is sent."""
        item = _get_session(images, caller, session_id)
        images.store.remove(caller.name, Kind.SESSION, session_id)
        return _describe(item)

    return routes


def _keep(images: ViewerImages, caller: Caller, form: Form, folder: Path, expiry: int) -> Item:
    sorted_files = images.service.checker.sort_viewer_files(form.files, folder)
    item = Item(
        id=token_urlsafe(18),
        name=extract_plain_name(form.files[0].filename) if len(form.files) == 1 else f"{len(form.files)} files",
        sequences=sorted_files.upload.sequences,
        unsorted=sorted_files.unsorted,
        notes={"ignored": dict(sorted_files.upload.ignored), "notes": list(sorted_files.upload.notes)},
        keep_s=min(MAX_SESSION_S, float(expiry)) if expiry > 0 else MAX_SESSION_S,
    )
    return images.store.put(caller.name, Kind.SESSION, item, folder)


def _get_session(images: ViewerImages, caller: Caller, session_id: str) -> Item:
    item = images.store.get(caller.name, Kind.SESSION, session_id)
    if item is None:
        raise make_missing_session_error()
    return item


def _make_file_response(images: ViewerImages, caller: Caller, item: Item) -> Response:
    path = images.store.folder(caller.name, Kind.SESSION, item.id) / item.main_file
    return StoredFile(path, media_type="application/octet-stream", filename=path.name)


def _describe(item: Item) -> dict[str, Any]:
    """Return MONAI Label's fields. Paths are replaced by names, to hide locations on the server."""
    return {
        "name": item.name,
        "path": "",
        "image": item.main_file,
        "meta": {"sequences": list(item.sequences), **item.notes},
        "create_ts": int(item.created),
        "last_access_ts": int(item.used),
        "expiry": int(item.keep_s),
    }
