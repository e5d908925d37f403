"""MONAI Label's API for clients: models, authentication, inference and the next case.

Follows MONAI Label 0.8.5 (its Python client, 3D Slicer module and OHIF plugin), which is synchronous: `infer` responds
when the job has ended.
"""

import json
import secrets
import time
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from brats_mm import __version__
from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS
from brats_mm.domain.modality import MODALITIES
from brats_mm_service.auth.callers import Caller
from brats_mm_service.auth.tokens import MODELS
from brats_mm_service.bodies import parse_json_object, read_small_form
from brats_mm_service.jobs.model import Job
from brats_mm_service.monai_label.forms import VIEWER_PROBLEMS, document_viewer_response, receive_viewer_form
from brats_mm_service.monai_label.images import STRATEGIES, ViewerImages
from brats_mm_service.monai_label.jobs import ViewerJobs, read_result_json
from brats_mm_service.monai_label.scoring import SCORING
from brats_mm_service.monai_label.training import TRAINABLE
from brats_mm_service.problems import Problem
from brats_mm_service.routes.documented import document_form, document_problems
from brats_mm_service.routes.receiving import open_incoming_folder
from brats_mm_service.schemas import make_job_path
from brats_mm_service.service import Service
from brats_mm_service.viewer.expected_dice import read_expected_dice
from brats_mm_service.viewer.intake import AUTO
from brats_mm_service.viewer.label_files import LabelAnswer, LabelForm, ViewerModel, build_label_answer, check_form

_BACKGROUND = "background"
_ABOUT = {
    ViewerModel.SEGMENTATION: "Tumour compartments from any of T1, T1ce, T2 and FLAIR.",
    ViewerModel.ENTROPY: "Uncertain voxels: the entropy of the same result in three bands.",
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_INFERRED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Parts `params` and `image`, or only one of them, depending on `output`",
        "content": {
            "multipart/form-data": _BINARY,
            "application/octet-stream": _BINARY,
            "application/json": {"example": {"label_names": ViewerModel.SEGMENTATION.labels}},
        },
    }
}


class Output(str, Enum):
    """Requested content of an `infer` response."""

    IMAGE = "image"
    JSON = "json"
    ALL = "all"
    DICOM_SEG = "dicom_seg"


def build_router(service: Service) -> APIRouter:
    """Return the routes /info/, /auth/, /infer/ and /activelearning/."""
    routes = APIRouter(tags=["MONAI Label"])
    reader = Depends(service.auth.require_scope("jobs:read"))
    writer = Depends(service.auth.require_scope("jobs:write"))
    images, jobs = ViewerImages(service), ViewerJobs(service)

    @routes.get(
        "/info/",
        summary="MONAI Label: models and labels",
        responses=document_problems(401, 403) | document_viewer_response({"name": "BraTS-MM"}),
    )
    def read_info(caller: Annotated[Caller, reader]) -> dict[str, Any]:
        """Return the information from which viewers build their panels."""
        return _build_info(images, caller)

    @routes.post(
        "/infer/{model}",
        summary="MONAI Label: segment an image and wait for the result",
        responses=VIEWER_PROBLEMS | _INFERRED,
        openapi_extra=document_form("file", "label", texts=("params",)),
        response_class=Response,
    )
    async def infer(
        model: str,
        request: Request,
        caller: Annotated[Caller, writer],
        image: Annotated[str, Query(max_length=300, description="a case on the server, or an uploaded image")] = "",
        session_id: Annotated[str, Query(max_length=100)] = "",
        output: Annotated[Output | None, Query()] = None,
    ) -> Response:
        """Run an ordinary job while the caller waits. If the caller disconnects, the job is cancelled."""
        start = time.monotonic()
        view = _find_model(model)
        if output is Output.DICOM_SEG:
            message = "The service responds with images, not with DICOM. Use output=image, or omit it."
            raise Problem("bad-option", message)
        async with open_incoming_folder(service) as folder:
            form = await receive_viewer_form(
                service, request, caller, folder, files=("file", "label"), texts=("params",)
            )
            params = parse_json_object(form.texts.get("params"), "params")
            label_form = _parse_label_form(params)
            check_form(label_form)
            case = images.find_server_case(caller, form, image=image, session_id=session_id)
            upload = await run_in_threadpool(
                images.gather, caller, form, folder, image=image, session_id=session_id, modality=params.get("modality")
            )
            job = await jobs.run(request, caller, upload, folder)
        result = service.queue.files.result(job.id)
        await run_in_threadpool(service.queue.verify, job)
        await run_in_threadpool(images.keep_prediction, caller, form, image=image, session_id=session_id, job=job.id)
        if case is not None:
            report = read_result_json(result, "report.json")
            await run_in_threadpool(images.expected_dice.set, case, read_expected_dice(report))
        label = await run_in_threadpool(build_label_answer, result, view, label_form)
        return _respond(
            output,
            _build_params(job, view, label, result, time.monotonic() - start),
            label,
            _make_filename(view, label_form),
        )

    @routes.post(
        "/activelearning/{strategy}",
        summary="MONAI Label: the next case on the server that the caller has not corrected",
        responses=VIEWER_PROBLEMS
        | document_viewer_response({"id": "case-7", "name": "case-7_t1ce.nii.gz", "strategy": "first"}),
    )
    def choose_next_image(strategy: str, caller: Annotated[Caller, reader]) -> dict[str, Any]:
        """Return the next image, or an empty object if none is left. /info/ lists the strategies."""
        return images.following(caller, strategy)

    _add_auth(routes, service)
    return routes


def _add_auth(routes: APIRouter, service: Service) -> None:
    """Add the login routes. If tokens are required, 3D Slicer asks for a name and a password, which is the token."""
    enabled = service.settings.needs_tokens

    @routes.get(
        "/auth/",
        summary="MONAI Label: whether a token is required (404 if not)",
        responses=document_problems(404)
        | document_viewer_response({"enabled": True, "client_id": "brats-mm", "realm": "brats-mm"}),
    )
    async def read_auth() -> dict[str, Any]:
        """Return whether a token is required. 3D Slicer calls this first."""
        if not enabled:
            raise Problem("not-found", "No token is needed here.")
        return {"enabled": True, "client_id": "brats-mm", "realm": "brats-mm"}

    @routes.post(
        "/auth/token",
        summary="MONAI Label: log in with a token as the password",
        responses=document_problems(401, 404, 413)
        | document_viewer_response({"access_token": "bmm_...", "token_type": "Bearer"}),
    )
    async def log_in(request: Request) -> dict[str, str]:
        """Return the token in the password if it is valid. The name is ignored."""
        fields = await read_small_form(request, 8192, service.settings.connections.body_s)
        if not enabled:
            raise Problem("not-found", "No token is needed here.")
        text = fields.get("password", "").strip()
        header = [(b"authorization", b"Bearer " + text.encode("utf-8", "replace"))]
        await run_in_threadpool(service.auth.authenticate, Request({"type": "http", "headers": header}))
        return {"access_token": text, "token_type": "Bearer"}

    @routes.get(
        "/auth/token/valid",
        summary="MONAI Label: whether the token sent is valid",
        responses=document_problems(401) | document_viewer_response({"valid": True}),
    )
    def check_token(request: Request) -> dict[str, bool]:
        """Respond with 401 to an invalid token."""
        service.auth.authenticate(request)
        return {"valid": True}


def _build_info(images: ViewerImages, caller: Caller) -> dict[str, Any]:
    has_cases = bool(images.cases.ids())
    return {
        "name": "BraTS-MM",
        "description": f"Brain tumour segmentation on MRI when sequences are missing. {NOT_FOR_DIAGNOSIS}",
        "version": __version__,
        # OHIF drops the first of these as the background.
        "labels": [_BACKGROUND, *ViewerModel.SEGMENTATION.labels],
        "models": {model.value: _describe_model(model) for model in ViewerModel},
        "trainers": _describe_trainers(images.service) if MODELS in caller.scopes else {},
        "strategies": {name: {"description": about} for name, about in STRATEGIES.items()} if has_cases else {},
        "scoring": {SCORING: {"description": "Dice, HD95 and volume of predictions against your final labels"}},
        "train_stats": _train_stats(images.service),
        "datastore": images.stats(caller),
    }


def _describe_trainers(service: Service) -> dict[str, Any]:
    """Return the trainer with its options, which viewers show as a table."""
    limits = service.settings.learning
    about = "Fine-tune the active version on the submitted labels. The new version must be activated before use."
    return {TRAINABLE: {"description": about, "config": {"minutes": limits.minutes}}}


def _train_stats(service: Service) -> dict[str, Any]:
    """Return the mean held-out Dice of the newest version, for viewers."""
    names = service.models.names()
    report = service.models.report(names[-1]) if names else {}
    if not report.get("held_out"):
        return {}
    dice = {name: report["held_out"][name]["dice"] for name in ("parent", "version")}
    return {TRAINABLE: {"version": names[-1], "best_metric": dice["version"], "parent_metric": dice["parent"]}}


def _describe_model(model: ViewerModel) -> dict[str, Any]:
    return {
        "type": "segmentation",
        "labels": model.labels,
        "dimension": 3,
        "description": f"{_ABOUT[model]} {NOT_FOR_DIAGNOSIS}",
        "version": __version__,
        # Viewers show a list as a choice with the first entry as the default.
        "config": {"modality": [AUTO, *(modality.value for modality in MODALITIES)]},
    }


def _find_model(name: str) -> ViewerModel:
    try:
        return ViewerModel(name)
    except ValueError as error:
        choices = ", ".join(model.value for model in ViewerModel)
        raise Problem("not-found", f"There is no such model. Choose one of {choices}.") from error


def _parse_label_form(params: Mapping[str, Any]) -> LabelForm:
    default = LabelForm()
    return LabelForm(
        extension=str(params.get("result_extension") or default.extension),
        dtype=str(params.get("result_dtype") or default.dtype),
        compressed=params.get("result_compress") is not False,
    )


def _build_params(job: Job, model: ViewerModel, label: LabelAnswer, result: Path, seconds: float) -> dict[str, Any]:
    """Return the part `params`: information for viewers and readers of the result."""
    sequences = list(job.sequences)
    return {
        "label_names": model.labels,
        "centroids": label.centroids,
        "latencies": {**job.seconds, "total": round(seconds, 3)},
        "sequences_found": sequences,
        "sequences_missing": [modality.value for modality in MODALITIES if modality.value not in sequences],
        "ignored": dict(job.ignored),
        "notes": list(job.notes),
        "importance": read_result_json(result, "importance.json"),
        "model": read_result_json(result, "report.json").get("model", {}),
        "job": make_job_path(job.id),
        "results": {file.name: f"{make_job_path(job.id)}/results/{file.name}" for file in job.results},
        "disclaimer": NOT_FOR_DIAGNOSIS,
    }


def _make_filename(model: ViewerModel, form: LabelForm) -> str:
    """Return a unique file name, because clients store files by name."""
    return f"{model.value}-{secrets.token_hex(6)}{form.extension}"


def _respond(output: Output | None, document: Mapping[str, Any], label: LabelAnswer, name: str) -> Response:
    text = json.dumps(document).encode("ascii")
    if output is Output.JSON:
        return Response(text, media_type="application/json")
    if output is Output.IMAGE:
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(label.data, media_type="application/octet-stream", headers=headers)
    boundary = secrets.token_hex(16)
    mark = boundary.encode()
    # Keep the spelling of these headers: OHIF finds the parts by their text.
    parts = (
        (b'name="params"', b"application/json", text),
        (f'name="image"; filename="{name}"'.encode(), b"application/octet-stream", label.data),
    )
    body = b"".join(
        b"--%b\r\nContent-Disposition: form-data; %b\r\nContent-Type: %b\r\n\r\n%b\r\n" % (mark, said_of, kind, content)
        for said_of, kind, content in parts
    )
    body += b"--%b--\r\n" % mark
    return Response(body, headers={"Content-Type": f"multipart/form-data; boundary={boundary}"})
