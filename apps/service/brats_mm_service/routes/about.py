"""About the service: models, health, metrics."""

import asyncio
import sqlite3
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from brats_mm.io.bundle import open_bundle
from brats_mm.pipeline.info import describe_installation
from brats_mm_service.auth.callers import Caller
from brats_mm_service.jobs.states import JobState
from brats_mm_service.problems import Problem
from brats_mm_service.routes.documented import document_problems, document_response
from brats_mm_service.service import Service

_READY = {"status": "ready", "confinement": "landlock"}


def build_router(service: Service) -> APIRouter:
    """Return the routes that do not concern a job."""
    routes = APIRouter(tags=["service"])
    reader = Depends(service.auth.require_scope("jobs:read"))
    watcher = Depends(service.auth.require_scope("metrics"))
    bundle = service.settings.worker.model.bundle
    described = describe_installation(None if bundle is None else str(bundle))
    described["model"].pop("folder", None)  # do not reveal locations on the server

    @routes.get(
        "/v1/models",
        summary="The model, its sequences, regions, labels and colours",
        responses=document_problems(401, 403) | document_response(described, "The models of this service"),
    )
    def list_models(caller: Annotated[Caller, reader]) -> dict[str, Any]:
        """List the models, at present only one."""
        readiness = service.workers.readiness
        about = {key: value for key, value in described.items() if key != "model"}
        model = {**described["model"], "loaded": readiness.ready, "device": readiness.device}
        if readiness.model is not None:  # a version trained by this service
            model["version"] = readiness.model["version"]
        return {"models": [model], **about}

    @routes.get(
        "/healthz",
        summary="Whether the service runs",
        responses=document_response({"status": "ok"}, "It runs"),
    )
    async def check_health() -> dict[str, str]:
        """Respond while the service runs, even if the model is not loaded."""
        return {"status": "ok"}

    @routes.get(
        "/readyz",
        summary="Whether jobs can be computed now",
        responses=document_problems(503) | document_response(_READY, "The model is loaded"),
    )
    async def check_readiness() -> dict[str, str]:
        """Respond with 503 and the reason while the model is being loaded, or if data or model cannot be used."""
        if not service.workers.readiness.ready:
            raise Problem("unavailable", service.workers.readiness.reason, {"Retry-After": "5"})
        problem = await asyncio.to_thread(_find_storage_problem, service)
        if problem is not None:
            raise Problem("unavailable", problem, {"Retry-After": "5"})
        return {"status": "ready", "confinement": "landlock" if service.workers.readiness.confined else "none"}

    @routes.get(
        "/metrics",
        summary="Metrics for Prometheus",
        response_class=Response,
        responses=document_problems(401, 403)
        | {
            200: {
                "description": "Queue length, jobs and failures by kind, latency by stage and by route",
                "content": {"text/plain": {"example": "brats_mm_queue_length 0.0\n"}},
            }
        },
    )
    def read_metrics(caller: Annotated[Caller, watcher]) -> Response:
        """Return the metrics in Prometheus' text format."""
        service.metrics.queue_length.set(service.queue.records.counts()[JobState.QUEUED])
        service.metrics.free_bytes.set(service.queue.files.free_bytes())
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return routes


def read_base_version(service: Service) -> str:
    """Return the version of the model that the service was started with."""
    return str(open_bundle(service.settings.worker.model.bundle).metadata().get("version", "unknown"))


def _find_storage_problem(service: Service) -> str | None:
    """Return the reason why no data can be stored, or None."""
    try:
        service.queue.files.discard(service.queue.files.incoming())
        service.queue.records.counts()
    except (OSError, sqlite3.Error):
        return "The service's data folder cannot be used. Contact the operator."
    return None
