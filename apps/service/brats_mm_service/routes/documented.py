"""Additions to the OpenAPI document: examples, problem bodies, the multipart body."""

from collections.abc import Collection
from typing import Any

from brats_mm_service.problems import MEDIA_TYPE, TITLES, make_problem_body
from brats_mm_service.schemas import OptionsBody, ProblemBody, make_example_job
from brats_mm_service.uploads.intake import CASE, FILE_FIELDS

_SENTENCES = {
    400: "Unknown form field 'scan'. Use t1, t1ce, t2, flair, case, options.",
    401: "This service needs a token. Send the header `Authorization: Bearer TOKEN`.",
    403: "Your token lacks the scope jobs:write. Request a token with this scope.",
    404: "There is no such job. It may have been deleted, or belong to another caller.",
    408: "The upload stalled or took too long. Send it again over a faster connection.",
    409: "The job is still running, so its results are not ready. Try again later, or follow its events.",
    410: "The results have expired and are deleted. Submit the case again.",
    413: "The form field 't1' is larger than 512 MiB, the maximum of this service.",
    415: "t1 is a DICOM file. Convert the series to NIfTI first, for example with dcm2niix.",
    416: "The file has 1,204 bytes. Request a range within them.",
    422: "t1.nii.gz has a voxel spacing of 0 x 1 x 1 mm. It must be between 0.05 and 50 mm along each axis.",
    429: "The queue is full: 100 jobs are waiting. Try again in 60 s.",
    503: "The model is being loaded.",
    507: "The service's disk is nearly full. Delete jobs that you no longer need, or contact the operator.",
}


def document_problems(*statuses: int) -> "Answers":
    """Return the `responses` of a route for these statuses, each with an example."""
    kinds = {status: kind for kind, (status, _) in reversed(TITLES.items())}
    return {
        status: {
            "description": TITLES[kinds[status]][1],
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": f"#/components/schemas/{ProblemBody.__name__}"},
                    "example": make_problem_body(kinds[status], _SENTENCES[status]),
                }
            },
        }
        for status in statuses
    }


Answers = dict[int | str, dict[str, Any]]
"""The `responses` of a route: status -> description, example, schema."""


def document_response(example: Any, description: str) -> Answers:
    """Return the documentation of a route's 200 response, with an example in JSON."""
    return {200: {"description": description, "content": {"application/json": {"example": example}}}}


JOB_EXAMPLE: dict[str, Any] = document_response(make_example_job(), "The job")[200]

_VOLUME = {"type": "string", "format": "binary", "description": "a volume: .nii.gz, .nii, .nrrd or .mha"}
_ZIP = {"type": "string", "format": "binary", "description": "a zip of one case's folder"}
_TEXT = {"type": "string", "contentMediaType": "application/json", "description": "options, as a JSON object"}


def document_form(
    *files: str, texts: Collection[str] = (), many: bool = False, required: Collection[str] = ()
) -> dict[str, Any]:
    """Return the `requestBody` of a route that takes a form.

    Args:
        files: names of the fields that are files.
        texts: names of the fields that are JSON.
        many: whether each file may be sent several times.
        required: names of the required fields.
    """
    volume = {"type": "array", "items": _VOLUME} if many else _VOLUME
    properties = {**{name: _ZIP if name == CASE else volume for name in files}, **dict.fromkeys(texts, _TEXT)}
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = list(required)
    return {"requestBody": {"required": bool(required), "content": {"multipart/form-data": {"schema": schema}}}}


SUBMISSION: dict[str, Any] = document_form(*FILE_FIELDS, texts=("options",))
SUBMISSION["requestBody"]["required"] = True
_FORM = SUBMISSION["requestBody"]["content"]["multipart/form-data"]
_FORM["schema"]["properties"]["options"] = {**_TEXT, "contentSchema": OptionsBody.model_json_schema()}
_FORM["encoding"] = {"options": {"contentType": "application/json"}}
_SENT = {"t1ce": "(the bytes of t1ce.nii.gz)", "flair": "(the bytes of flair.nii.gz)"}
_FORM["examples"] = {
    "two": {
        "summary": "T1ce and FLAIR, with probabilities",
        "value": {**_SENT, "options": '{"probabilities": true}'},
    }
}
