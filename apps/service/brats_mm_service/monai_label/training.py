"""MONAI Label's training routes: start fine-tuning as a job, show its state, and stop it."""

import secrets
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool

from brats_mm.errors import BratsMMError, OptionError
from brats_mm.io.suffixes import find_image_suffix
from brats_mm.learning.corrections import Correction
from brats_mm.learning.plan import (
    MAX_REPLAYED,
    REPLAY,
    FineTuning,
    PlannedCase,
    TrainingPlan,
    check_settings,
    choose_cases,
    write_plan,
)
from brats_mm.learning.replay import ReplayCase, find_replay_cases
from brats_mm.learning.store import LABELS
from brats_mm.learning.versions import BASE, make_next_version
from brats_mm_service.auth.callers import Caller
from brats_mm_service.auth.tokens import MODELS
from brats_mm_service.bodies import read_small_json
from brats_mm_service.jobs.model import DEFAULT_REQUEST, Job, NewJob
from brats_mm_service.jobs.states import OPEN, JobState
from brats_mm_service.monai_label.forms import VIEWER_PROBLEMS, document_viewer_response
from brats_mm_service.problems import Problem, find_error_kind
from brats_mm_service.routes.about import read_base_version
from brats_mm_service.routes.jobs import check_room
from brats_mm_service.service import Service
from brats_mm_service.viewer.intake import link_or_copy
from brats_mm_service.viewer.label_files import ViewerModel

TRAINABLE = ViewerModel.SEGMENTATION.value
_STATUS = {
    JobState.QUEUED: "SUBMITTED",
    JobState.RUNNING: "RUNNING",
    JobState.DONE: "DONE",
    JobState.EXPIRED: "DONE",
    JobState.CANCELLED: "STOPPED",
    JobState.FAILED: "ERROR",
}
_EXAMPLE = {"id": "h7Qe0m3Jx2vYb1kT9sWcRz5a", "model": TRAINABLE, "status": "RUNNING", "version": "0.7.0+site.1"}
_PARAMS: dict[str, Any] = {
    "requestBody": {
        "required": False,
        "description": "minutes, and additional fields of the viewer",
        "content": {"application/json": {"schema": {"type": "object"}, "example": {"minutes": 20}}},
    }
}


def build_router(service: Service) -> APIRouter:
    """Return the routes under /train/."""
    routes = APIRouter(prefix="/train", tags=["MONAI Label"], responses=VIEWER_PROBLEMS)
    reader = Depends(service.auth.require_scope("jobs:read"))
    trainer = Depends(service.auth.require_scope(MODELS))
    starting = threading.Lock()

    @routes.get(
        "/",
        summary="MONAI Label: state of the training (404 if there is none)",
        responses=document_viewer_response(_EXAMPLE),
    )
    def read_status(
        caller: Annotated[Caller, reader],
        *,
        all: Annotated[bool, Query(description="all training runs, as a list")] = False,
        check_if_running: Annotated[bool, Query(description="404 unless a training run is waiting or running")] = False,
    ) -> Any:
        """Return the newest training run of any caller, or the one that is waiting or running."""
        jobs = service.queue.records.trainings(tuple(OPEN) if check_if_running else tuple(JobState))
        if not jobs:
            raise Problem(
                "not-found",
                "No training run is waiting or running."
                if check_if_running
                else "No training run has been started yet.",
            )
        return [_describe_job(service, job) for job in jobs] if all else _describe_job(service, jobs[-1])

    @routes.post("/", include_in_schema=False)
    @routes.post(
        "/{model}",
        summary="MONAI Label: train on the submitted labels",
        openapi_extra=_PARAMS,
        responses=document_viewer_response(_EXAMPLE),
    )
    async def start(request: Request, caller: Annotated[Caller, trainer], model: str = TRAINABLE) -> dict[str, Any]:
        """Fine-tune the active version on the final labels of all callers.

        The result is a new version, which is not active. Only one training run can wait or run at a time.
        """
        if model != TRAINABLE:
            raise Problem("not-found", f"The model {model[:40]!r} cannot be trained. Train {TRAINABLE}.")
        params = await read_small_json(request, service.settings)

        def start_alone() -> Job:
            with starting:
                return _start(service, caller, params)

        return _describe_job(service, await run_in_threadpool(start_alone))

    @routes.delete("/", summary="MONAI Label: stop the training", responses=document_viewer_response(_EXAMPLE))
    def stop(caller: Annotated[Caller, trainer]) -> dict[str, Any]:
        """Cancel the training run that is waiting or running. The active version does not change."""
        jobs = service.queue.records.trainings(tuple(OPEN))
        for job in jobs:
            service.queue.remove(job)
        stopped = service.queue.records.get(jobs[-1].id) if jobs else None
        return {} if stopped is None else _describe_job(service, stopped)

    return routes


def _start(service: Service, caller: Caller, params: Mapping[str, Any]) -> Job:
    if service.queue.records.trainings(tuple(OPEN)):
        raise Problem("too-many", "A training run is already waiting or running. Wait until it ends, or stop it.")
    check_room(service, caller.name)
    settings = _parse_settings(service, params)
    parent = service.models.active().version
    planned = [str((job.training or {})["version"]) for job in service.queue.records.trainings()]
    names = [*service.models.names(), *planned]
    version = make_next_version(read_base_version(service) if parent == BASE else parent, names)
    folder = service.queue.files.incoming()
    try:
        plan = _gather(service, folder, version, parent, settings)
        write_plan(plan, folder)
        counts = {use: len(plan.select_by_use(use)) for use in ("training", REPLAY, "held_out")}
        training = {"version": version, "parent": parent, "minutes": settings.minutes, "cases": counts}
        new = NewJob(secrets.token_urlsafe(18), caller.name, DEFAULT_REQUEST, {}, training=training)
        return service.queue.submit(new, folder)[0]
    finally:
        service.queue.files.discard(folder)


def _parse_settings(service: Service, params: Mapping[str, Any]) -> FineTuning:
    """Return the settings of a request: at the top level, or under the name of the model."""
    nested = params.get(TRAINABLE)
    values = {**params, **(nested if isinstance(nested, Mapping) else {})}
    limits, default = service.settings.learning, FineTuning()
    try:
        return check_settings(
            FineTuning(
                minutes=float(values.get("minutes", limits.minutes)),
                side=int(values.get("side", default.side)),
                learning_rate=float(values.get("learning_rate", default.learning_rate)),
                batch=min(8, max(1, int(values.get("batch", default.batch)))),
                seed=int(values.get("seed", default.seed)),
            ),
            limits.longest_minutes,
        )
    except OptionError as error:
        raise Problem("bad-option", str(error)) from error
    except (TypeError, ValueError, OverflowError) as error:
        raise Problem("bad-option", "minutes, side, learning_rate, batch and seed must be numbers.") from error


def _gather(service: Service, folder: Path, version: str, parent: str, settings: FineTuning) -> TrainingPlan:
    """Link the cases of a training run into a folder, so that later changes do not affect it."""
    try:
        corrections = choose_cases(service.corrections.all())
        replay = service.settings.learning.replay
        replayed = [] if replay is None else find_replay_cases(replay, MAX_REPLAYED)
    except BratsMMError as error:
        raise Problem(find_error_kind(error), str(error)) from error
    try:
        cases = [_link_case(service, correction, folder) for correction in corrections]
    except FileNotFoundError as error:
        raise Problem("not-ready", "A label was deleted during the request. Start the training again.") from error
    cases += [_link_replay(correction, folder, number) for number, correction in enumerate(replayed)]
    return TrainingPlan(version, parent, settings, tuple(cases))


def _link_case(service: Service, correction: Correction, folder: Path) -> PlannedCase:
    source = service.corrections.folder(correction)
    (folder / correction.id).mkdir()
    for name in (*correction.sequences.values(), LABELS):
        link_or_copy(source / name, folder / correction.id / name)
    sequences = {sequence: f"{correction.id}/{name}" for sequence, name in correction.sequences.items()}
    return PlannedCase(correction.id, correction.role.value, sequences, f"{correction.id}/{LABELS}")


def _link_replay(case: ReplayCase, folder: Path, number: int) -> PlannedCase:
    target = folder / f"{REPLAY}-{number}"
    target.mkdir()
    sequences = {}
    for modality, source in (*case.sequences.items(), (None, case.label)):
        name = f"{'labels' if modality is None else modality.value}{find_image_suffix(source.name) or ''}"
        link_or_copy(source, target / name)
        if modality is not None:
            sequences[modality.value] = f"{target.name}/{name}"
    return PlannedCase(
        target.name, REPLAY, sequences, f"{target.name}/labels{find_image_suffix(case.label.name) or ''}"
    )


def _describe_job(service: Service, job: Job) -> dict[str, Any]:
    """Return a training run in MONAI Label's format, with progress and result."""
    progress = service.queue.progress(job)
    training = dict(job.training or {})
    report = service.models.report(str(training.get("version", ""))) if job.state is JobState.DONE else {}
    return {
        "id": job.id,
        "model": TRAINABLE,
        "status": _STATUS[job.state],
        **training,
        "progress": {"stage": progress.stage, "done": progress.done, "total": progress.total},
        "ts": int(job.created),
        "start_ts": None if job.started is None else int(job.started),
        "end_ts": None if job.finished is None else int(job.finished),
        "error": None if job.error is None else job.error.get("detail"),
        "held_out": report.get("held_out"),
    }
