"""Remote protocol of 3D Slicer's module MONAIAuto3DSeg, which supports several input volumes per model.

All inputs of a model are mandatory in this protocol, so each of the 15 subsets of sequences is a model.
"""

import csv
import io
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from brats_mm import __version__
from brats_mm.domain.availability import SUBSETS, Availability, describe, sort_modalities
from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.regions import BRAIN, SEGMENT_STYLES, Code, LabelConvention
from brats_mm_service.auth.callers import Caller
from brats_mm_service.monai_label.forms import VIEWER_PROBLEMS, receive_viewer_form
from brats_mm_service.monai_label.jobs import ViewerJobs
from brats_mm_service.problems import Problem
from brats_mm_service.routes.documented import document_form, document_problems, document_response
from brats_mm_service.routes.receiving import open_incoming_folder
from brats_mm_service.service import Service
from brats_mm_service.uploads.multipart import Form, ReceivedFile
from brats_mm_service.uploads.sorted_upload import SortedUpload
from brats_mm_service.viewer.intake import extract_plain_name
from brats_mm_service.viewer.label_files import LabelForm, ViewerModel, build_label_answer

FILES = ("image_file", "image_file_2", "image_file_3", "image_file_4")
_PATTERNS = {
    # Case-sensitive patterns for volume names. They avoid wrong matches: a bare `t1` would also match T1ce.
    Modality.T1: "*[Tt]1[NnWw]*",
    Modality.T1CE: "*[Tt]1[CcGg]*",
    Modality.T2: "*[Tt]2[Ww]*",
    Modality.FLAIR: "*[TtFf][2Ll][FfAa]*",
}
_CODES = (
    "SegmentedPropertyCategoryCodeSequence",
    "SegmentedPropertyTypeCodeSequence",
    "SegmentedPropertyTypeModifierCodeSequence",
    "AnatomicRegionSequence",
    "AnatomicRegionModifierSequence",
)
_PARTS = ("CodingSchemeDesignator", "CodeValue", "CodeMeaning")
_OCTETS = {"application/octet-stream": {"example": "(the bytes of a file)"}}


def make_model_id(subset: Availability) -> str:
    """Return the model ID of a subset, such as `brats-mm-t1ce-flair`. It needs no quoting in a query."""
    return "-".join(["brats-mm", *(modality.value for modality in sort_modalities(subset))])


# All four come first, because the module offers the first model by default.
MODELS: dict[str, Availability] = {make_model_id(subset): subset for subset in reversed(SUBSETS)}


def build_router(service: Service) -> APIRouter:
    """Return the routes /models, /modelinfo, /monaiinfo, /labelDescriptions and /infer."""
    routes = APIRouter(tags=["MONAIAuto3DSeg"])
    reader = Depends(service.auth.require_scope("jobs:read"))
    writer = Depends(service.auth.require_scope("jobs:write"))
    jobs = ViewerJobs(service)
    _add_lists(routes, reader)

    @routes.post(
        "/infer",
        summary="MONAIAuto3DSeg: segment the volumes of a subset and wait for the label map",
        responses=VIEWER_PROBLEMS | {200: {"description": "A label map as NRRD", "content": _OCTETS}},
        openapi_extra=document_form(*FILES),
        response_class=Response,
    )
    async def infer(
        request: Request, caller: Annotated[Caller, writer], model_name: Annotated[str, Query(max_length=100)]
    ) -> Response:
        """Return the volumes in the order of the model's inputs."""
        subset = _find_subset(model_name)
        async with open_incoming_folder(service) as folder:
            form = await receive_viewer_form(service, request, caller, folder, files=FILES, texts=())
            received = _assign_sequences(form, subset)
            upload: SortedUpload = await run_in_threadpool(service.checker.sort_upload, received, folder)
            job = await jobs.run(request, caller, upload, folder)
        result = service.queue.files.result(job.id)
        await run_in_threadpool(service.queue.verify, job)
        label = await run_in_threadpool(build_label_answer, result, ViewerModel.SEGMENTATION, LabelForm(".nrrd"))
        headers = {"Content-Disposition": 'attachment; filename="segmentation.nrrd"'}
        return Response(label.data, media_type="application/octet-stream", headers=headers)

    return routes


def _add_lists(routes: APIRouter, reader: Any) -> None:
    @routes.get(
        "/models",
        summary="MONAIAuto3DSeg: one model for each of the 15 subsets",
        responses=document_problems(401, 403) | document_response([_describe_model(next(iter(MODELS)))], "The models"),
    )
    def list_models(caller: Annotated[Caller, reader]) -> list[dict[str, Any]]:
        """List the models, with all four sequences first."""
        return [_describe_model(name) for name in MODELS]

    @routes.get(
        "/modelinfo",
        summary="MONAIAuto3DSeg: one model",
        responses=document_problems(401, 403, 404, 422)
        | document_response(_describe_model(next(iter(MODELS))), "The model"),
    )
    def read_model(caller: Annotated[Caller, reader], id: Annotated[str, Query(max_length=100)]) -> dict[str, Any]:
        """Return one model in the format of the list."""
        return _describe_model(make_model_id(_find_subset(id)))

    @routes.get(
        "/monaiinfo",
        summary="MONAIAuto3DSeg: name and version of the software",
        responses=document_problems(401, 403) | document_response(f"BraTS-MM {__version__}", "Name and version"),
    )
    def describe_software(caller: Annotated[Caller, reader]) -> str:
        """Return the text that the module shows."""
        return f"BraTS-MM {__version__}"

    @routes.get(
        "/labelDescriptions",
        summary="MONAIAuto3DSeg: names and codes of the labels, as CSV",
        responses=document_problems(401, 403, 404, 422) | {200: {"description": "A CSV file", "content": _OCTETS}},
        response_class=Response,
    )
    def read_labels(caller: Annotated[Caller, reader], id: Annotated[str, Query(max_length=100)]) -> Response:
        """Return the labels, which all models share."""
        _find_subset(id)
        headers = {"Content-Disposition": 'attachment; filename="labels.csv"'}
        return Response(render_label_table(), media_type="application/octet-stream", headers=headers)


def render_label_table() -> bytes:
    """Return the labels with the codes that 3D Slicer uses for colours and names of segments."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["LabelValue", "Name", *(f"{sequence}.{part}" for sequence in _CODES for part in _PARTS)])
    for compartment, style in SEGMENT_STYLES.items():
        codes = (style.category, style.type, None, BRAIN, None)
        value = LabelConvention.BRATS2023.value_of(compartment)
        table.writerow([value, style.name, *(part for code in codes for part in _split_code(code))])
    return text.getvalue().encode("utf-8")


def _split_code(code: Code | None) -> tuple[str, str, str]:
    return ("", "", "") if code is None else (code.scheme, code.value, code.meaning)


def _describe_model(name: str) -> dict[str, Any]:
    subset = MODELS[name]
    names = [style.name for style in SEGMENT_STYLES.values()]
    title = f"Brain tumour (BraTS-MM), {describe(subset)}"
    missing = describe(modality for modality in MODALITIES if modality not in subset)
    about = f"Tumour compartments on MRI without {missing}." if missing != "none" else "All four sequences."
    return {
        "id": name,
        "title": title,
        "version": __version__,
        "inputs": [
            {"title": modality.label, "namePattern": _PATTERNS[modality]} for modality in sort_modalities(subset)
        ],
        "imagingModality": "MR",
        "description": f"{about} Volumes skull-stripped and on one grid. {NOT_FOR_DIAGNOSIS}",
        "sampleData": None,
        "segmentNames": names,
        "details": f"<p><b>Model:</b> {title} ({__version__})<p>{about}<p>{NOT_FOR_DIAGNOSIS}"
        f"<p><b>Segments:</b> {', '.join(names)}",
        "url": "",
        "deprecated": False,
    }


def _find_subset(name: str) -> Availability:
    if name not in MODELS:
        raise Problem("not-found", f"There is no model {name[:60]!r}. /models lists all {len(MODELS)} models.")
    return MODELS[name]


def _assign_sequences(form: Form, subset: Availability) -> tuple[ReceivedFile, ...]:
    """Return the volumes by the sequences of the model's inputs, regardless of their file names."""
    modalities = sort_modalities(subset)
    files = {file.field: file for file in form.files}
    if len(form.files) != len(files) or set(files) != set(FILES[: len(modalities)]):
        message = f"This model needs {len(modalities)} volumes: {describe(subset)}. Send each volume once, as "
        raise Problem("bad-case", f"{message}{', '.join(FILES[: len(modalities)])}.")
    return tuple(
        ReceivedFile(modality.value, extract_plain_name(file.filename), file.path, file.size, file.sha256)
        for modality, file in zip(modalities, (files[field] for field in FILES[: len(modalities)]), strict=True)
    )
