"""Server-sent events: a job's state and progress as they change, until it ends."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import StreamingResponse

from brats_mm_service.auth.callers import Caller
from brats_mm_service.jobs.queue import JobView
from brats_mm_service.jobs.states import OPEN
from brats_mm_service.problems import Problem
from brats_mm_service.routes.documented import document_problems
from brats_mm_service.routes.jobs import get_own_view
from brats_mm_service.schemas import JobBody
from brats_mm_service.service import Service
from brats_mm_service.uploads.slots import NoSlot

_LOOK_S = 2.0
"""Also sent without a notification, because a waiting job's position changes with other jobs."""
_SIGN_S = 15.0

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events named `job` with the job as returned by GET. In the last one, the job has ended",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'event: job\ndata: {"id": "h7Qe0m3Jx2vYb1kT9sWcRz5a", "state": "running"}\n\n',
            }
        },
    }
}


def build_router(service: Service) -> APIRouter:
    """Return the route /v1/jobs/{id}/events."""
    routes = APIRouter(prefix="/v1/jobs", tags=["jobs"])
    reader = Depends(service.auth.require_scope("jobs:read"))

    @routes.get(
        "/{job_id}/events",
        summary="Follow a job",
        response_class=StreamingResponse,
        responses=_STREAM | document_problems(401, 403, 404, 429),
    )
    async def stream_events(job_id: str, request: Request, caller: Annotated[Caller, reader]) -> StreamingResponse:
        """Stream one event at once, then one at each change, until the job has ended."""
        await asyncio.to_thread(get_own_view, service, job_id, caller)
        try:
            service.streams.check(caller.name)
        except NoSlot as full:
            raise Problem("too-many", f"{full} Try again later.", {"Retry-After": "10"}) from full
        text = follow(service, job_id, request)
        return StreamingResponse(text, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    return routes


async def follow(service: Service, job_id: str, request: Request) -> AsyncIterator[str]:
    """Stream the events. Checks records and the caller's token at each change and every 2 s."""
    keep_s = service.settings.retention.result_s
    last_event, sent_at = "", time.monotonic()

    def look() -> tuple[str, JobView]:
        caller = service.auth.authenticate(request)
        return caller.name, get_own_view(service, job_id, caller)

    with service.queue.notifications.subscribe(job_id) as subscription, ExitStack() as slot:
        while not service.stopping.is_set():
            try:
                caller, view = await asyncio.to_thread(look)
                if not last_event:
                    slot.enter_context(service.streams.held(caller))
            except (Problem, NoSlot):
                yield "event: gone\ndata: {}\n\n"
                return
            text = JobBody.from_view(view, keep_s).model_dump_json()
            if text != last_event:
                last_event, sent_at = text, time.monotonic()
                yield f"event: job\ndata: {text}\n\n"
            elif time.monotonic() - sent_at > _SIGN_S:
                sent_at = time.monotonic()
                yield ": still here\n\n"
            if view.job.state not in OPEN:
                return
            await subscription.wait(_LOOK_S)
