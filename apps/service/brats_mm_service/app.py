"""The application: routers over one service, and every error as a problem body.

To add a route group, write a module in `routes` with a `router(service)` and add it to `ROUTERS`.
"""

import errno
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse

from brats_mm import __version__
from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS
from brats_mm.errors import BratsMMError
from brats_mm_service.audit import AuditLog
from brats_mm_service.jobs.records import QueueFull
from brats_mm_service.logs import log
from brats_mm_service.middleware import Guard
from brats_mm_service.monai_label import auto3dseg, datastore, inference, scoring, sessions, training
from brats_mm_service.problems import Problem, find_error_kind, make_problem_response
from brats_mm_service.routes import about, dicomweb, events, inputs, inspect, jobs, page, results, versions
from brats_mm_service.schemas import ProblemBody
from brats_mm_service.service import Service, open_service
from brats_mm_service.settings import Settings
from brats_mm_service.uploads.slots import NoSlot
from brats_mm_service.workers.protocol import Spawn

ROUTERS: tuple[Callable[[Service], APIRouter], ...] = (
    jobs.build_router,
    inspect.build_router,
    results.build_router,
    inputs.build_router,
    events.build_router,
    about.build_router,
    dicomweb.build_router,
    inference.build_router,
    datastore.build_router,
    sessions.build_router,
    training.build_router,
    scoring.build_router,
    versions.build_router,
    auto3dseg.build_router,
    page.build_router,
)

_BY_STATUS = {
    404: ("not-found", "This address does not exist. See /openapi.json for all addresses."),
    405: ("method-not-allowed", "This address does not support that method. See /openapi.json."),
}
_FULL = (errno.ENOSPC, errno.EDQUOT)


def create_app(settings: Settings, spawn: Spawn | None = None) -> FastAPI:
    """Create the application. The workers start and stop with it.

    Args:
        settings: settings of the service.
        spawn: function that starts a worker. Defaults to the settings.

    Raises:
        OptionError: the data folder cannot be used, or is in use by another service.
    """
    service = open_service(settings, spawn)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.stop()

    app = FastAPI(
        title="BraTS-MM",
        version=__version__,
        summary="Brain tumour segmentation on MRI when sequences are missing.",
        description=f"Upload the sequences you have and get segmentation, entropy and importance. {NOT_FOR_DIAGNOSIS}",
        docs_url=None,  # FastAPI's pages load scripts from the internet, so `routes.page` serves its own
        redoc_url=None,
        lifespan=lifespan,
        responses={500: {"model": ProblemBody, "description": "An internal error of the service"}},
    )
    app.state.service = service
    for router in ROUTERS:
        app.include_router(router(service))
    _add_problems(app, service)
    if not settings.needs_tokens:
        _make_tokens_optional(app)
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.allowed_origins),
            allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Idempotency-Key", "Range"],
            expose_headers=["ETag", "Location", "Content-Range", "Accept-Ranges", "Retry-After"],
        )
    app.add_middleware(Guard, settings=settings, metrics=service.metrics, audit=AuditLog(settings.data))
    return app


def _make_tokens_optional(app: FastAPI) -> None:
    """State in the OpenAPI document that callers on this machine need no token."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        document = described()
        for methods in document["paths"].values():
            for operation in methods.values():
                if "security" in operation and {} not in operation["security"]:
                    operation["security"].insert(0, {})
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _add_problems(app: FastAPI, service: Service) -> None:
    def answer(problem: Problem) -> JSONResponse:
        service.metrics.refusals.labels(problem.kind).inc()
        return make_problem_response(problem)

    @app.exception_handler(Problem)
    async def _answer_problem(_: Request, problem: Problem) -> JSONResponse:
        return answer(problem)

    @app.exception_handler(NoSlot)
    @app.exception_handler(QueueFull)
    async def _answer_full(_: Request, full: Exception) -> JSONResponse:
        seconds = str(int(min(600, max(5, service.queue.typical_s))))
        return answer(Problem("too-many", f"{full} Try again in {seconds} s.", {"Retry-After": seconds}))

    @app.exception_handler(BratsMMError)
    async def _answer_library_error(_: Request, error: BratsMMError) -> JSONResponse:
        return answer(Problem(find_error_kind(error), str(error)))

    @app.exception_handler(RequestValidationError)
    async def _answer_invalid_request(_: Request, error: RequestValidationError) -> JSONResponse:
        faults = [f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}" for detail in error.errors()]
        return answer(Problem("bad-option", f"The request is invalid: {'; '.join(faults[:5])}."))

    @app.exception_handler(HTTPException)
    async def _answer_http_error(_: Request, error: HTTPException) -> JSONResponse:
        kind, detail = _BY_STATUS.get(error.status_code, ("bad-request", f"The request is invalid: {error.detail}."))
        return answer(Problem(kind, detail, error.headers or {}))

    @app.exception_handler(OSError)
    async def _answer_disk_error(_: Request, error: OSError) -> JSONResponse:
        return answer(_make_storage_error(error))

    @app.exception_handler(sqlite3.OperationalError)
    async def _answer_records_error(_: Request, error: sqlite3.OperationalError) -> JSONResponse:
        return answer(_make_storage_error(OSError(errno.ENOSPC if "full" in str(error) else errno.EIO, "records")))

    @app.exception_handler(Exception)
    async def _answer_unexpected_error(_: Request, error: Exception) -> JSONResponse:
        log("request_error", level="error", error=type(error).__name__)
        message = "An internal error occurred. Try again. If it persists, contact the operator of the service."
        return answer(Problem("internal", message))


def _make_storage_error(error: OSError) -> Problem:
    if error.errno in _FULL:
        return Problem(
            "disk-full",
            "The service's disk is full. Delete jobs that you no longer need, or contact the operator.",
        )
    log("storage_error", level="error", error=type(error).__name__, code=error.errno)
    return Problem("internal", "The service cannot access its disk. Contact the operator.")
