"""MONAI Label's scoring routes: predictions against the caller's final labels, and their history."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool

from brats_mm.learning.corrections import FINAL, Correction
from brats_mm.learning.scores import summarise_by_version
from brats_mm_service.auth.callers import Caller
from brats_mm_service.monai_label.corrections import ViewerCorrections
from brats_mm_service.monai_label.forms import VIEWER_PROBLEMS, document_viewer_response
from brats_mm_service.monai_label.images import ViewerImages
from brats_mm_service.problems import Problem
from brats_mm_service.service import Service

SCORING = "corrections"
_ROW = {"image": "case-7", "version": 1, "ts": 1700000000, "model_version": "0.7.0", "scores": {"wt": {"dice": 0.91}}}
_EXAMPLE = {"status": "DONE", "labels": 1, "by_version": [], "history": [_ROW]}


def build_router(service: Service) -> APIRouter:
    """Return the routes under /scoring/."""
    routes = APIRouter(prefix="/scoring", tags=["MONAI Label"], responses=VIEWER_PROBLEMS)
    reader = Depends(service.auth.require_scope("jobs:read"))
    writer = Depends(service.auth.require_scope("jobs:write"))
    corrections = ViewerCorrections(ViewerImages(service))

    @routes.get("/", summary="MONAI Label: history of scores", responses=document_viewer_response(_EXAMPLE))
    def read_history(caller: Annotated[Caller, reader], *, check_if_running: bool = False) -> dict[str, Any]:
        """Return scores of predictions against the caller's final labels, oldest first, and their means by version.

        Scores are computed at once, so no scoring is ever running.
        """
        if check_if_running:
            raise Problem("not-found", "No scoring is running.")
        return _build_history(service.corrections.all(caller.name))

    @routes.post("/", include_in_schema=False)
    @routes.post("/{method}", summary="MONAI Label: score predictions", responses=document_viewer_response(_EXAMPLE))
    async def score_predictions(caller: Annotated[Caller, writer], method: str = SCORING) -> dict[str, Any]:
        """Score the predictions that could not be scored when their label was submitted, and return the history."""
        if method != SCORING:
            raise Problem("not-found", f"There is no scoring method {method[:40]!r}. Use {SCORING}.")
        await run_in_threadpool(corrections.score_again, caller)
        return _build_history(service.corrections.all(caller.name))

    return routes


def _build_history(corrections: list[Correction]) -> dict[str, Any]:
    rows, pairs = [], []
    for correction in corrections:
        if correction.tag != FINAL or not correction.scores or correction.prediction is None:
            continue
        version = correction.prediction.version
        pairs.append((version, correction.scores))
        rows.append(
            {
                "image": correction.image,
                "version": correction.version,
                "ts": int(correction.created),
                "model_version": version,
                "role": correction.role.value,
                "scores": {region: dict(values) for region, values in correction.scores.items()},
            }
        )
    return {"status": "DONE", "labels": len(rows), "by_version": summarise_by_version(pairs), "history": rows}
