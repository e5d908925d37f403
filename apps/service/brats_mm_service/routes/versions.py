"""Versions of the model: list, activate, and roll back."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from brats_mm.errors import BratsMMError, OptionError
from brats_mm.learning.versions import BASE
from brats_mm_service.auth.callers import Caller
from brats_mm_service.auth.tokens import MODELS
from brats_mm_service.bodies import read_small_json
from brats_mm_service.logs import log
from brats_mm_service.problems import Problem, find_error_kind
from brats_mm_service.routes.about import read_base_version
from brats_mm_service.routes.documented import document_problems
from brats_mm_service.service import Service


class ActiveBody(BaseModel):
    """The version to activate."""

    model_config = ConfigDict(extra="forbid")

    version: str = Field(description="name of a listed version, or base", max_length=100)


_ACTIVE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": ActiveBody.model_json_schema(), "example": {"version": BASE}}},
    }
}


class VersionBody(BaseModel):
    """A version of the model."""

    version: str
    number: str = Field(description="version number in the results of this model")
    active: bool
    parent: str | None = Field(default=None, description="version that this one was fine-tuned from")
    cases: dict[str, int] = Field(default_factory=dict, description="number of training, replay and held-out cases")
    held_out: dict[str, Any] | None = Field(default=None, description="scores of parent and version")


class VersionsBody(BaseModel):
    """All versions, oldest first."""

    active: str
    versions: list[VersionBody]


def build_router(service: Service) -> APIRouter:
    """Return the routes under /v1/models/."""
    routes = APIRouter(prefix="/v1/models", tags=["models"])
    reader = Depends(service.auth.require_scope("jobs:read"))
    chooser = Depends(service.auth.require_scope(MODELS))

    @routes.get(
        "/versions", summary="Versions of the model, with their held-out scores", responses=document_problems(401, 403)
    )
    def list_versions(caller: Annotated[Caller, reader]) -> VersionsBody:
        """List the model that the service was started with, and the versions that were trained here."""
        return _build_versions_body(service)

    @routes.put(
        "/active",
        summary="Segment with another version from now on",
        openapi_extra=_ACTIVE,
        responses=document_problems(400, 401, 403, 404, 408, 413, 422),
    )
    async def activate_version(request: Request, caller: Annotated[Caller, chooser]) -> VersionsBody:
        """Check the version's weights and load it after the current job. It applies to all callers."""
        document = await read_small_json(request, service.settings)
        try:
            body = ActiveBody.model_validate(document)
        except ValidationError as error:
            raise Problem("bad-option", 'Send the version to activate as {"version": "base"}.') from error
        return await run_in_threadpool(_change, service, body.version)

    @routes.post(
        "/rollback",
        summary="Segment with the version that was active before",
        responses=document_problems(401, 403, 404, 409),
    )
    async def roll_back(caller: Annotated[Caller, chooser]) -> VersionsBody:
        """Load the version that was active before this one."""
        return await run_in_threadpool(_change, service, None)

    return routes


def _change(service: Service, version: str | None) -> VersionsBody:
    try:
        state = service.models.roll_back() if version is None else service.models.activate(version)
    except OptionError as error:
        raise Problem("not-ready" if version is None else "not-found", str(error)) from error
    except BratsMMError as error:
        raise Problem(find_error_kind(error), str(error)) from error
    log("version_activated", version=state.version)
    service.workers.restart()
    return _build_versions_body(service)


def _build_versions_body(service: Service) -> VersionsBody:
    active = service.models.active().version
    versions = [VersionBody(version=BASE, number=read_base_version(service), active=active == BASE)]
    for name in service.models.names():
        report = service.models.report(name)
        versions.append(
            VersionBody(
                version=name,
                number=name,
                active=name == active,
                parent=report.get("parent"),
                cases=report.get("cases", {}),
                held_out=report.get("held_out"),
            )
        )
    return VersionsBody(active=active, versions=versions)
