"""Additions to the OpenAPI document: examples, problem bodies, the multipart body."""

from typing import Any

from brats_mm_service.problems import MEDIA_TYPE, TITLES, problem_body
from brats_mm_service.schemas import OptionsBody, ProblemBody, example_job

_SENTENCES = {
    400: "Unknown part 'scan'. Use t1, t1ce, t2, flair, case, options.",
    401: "This service needs a token. Send the header `Authorization: Bearer TOKEN`.",
    403: "Your token lacks the scope jobs:write. Request a token with this scope.",
    404: "There is no such job. It may have been deleted, or belong to another caller.",
    408: "The upload stalled or took too long. Send it again over a faster connection.",
    409: "The job is still running, so its results are not ready. Try again later, or follow its events.",
    410: "The results have expired and are deleted. Submit the case again.",
    413: "The part 't1' is larger than 512 MiB, the maximum of this service.",
    415: "t1 is a DICOM file. Convert the series to NIfTI first, for example with dcm2niix.",
    416: "The file has 1,204 bytes. Request a range within them.",
    422: "t1.nii.gz has a voxel spacing of 0 x 1 x 1 mm. It must be between 0.05 and 50 mm along each axis.",
    429: "The queue is full: 100 jobs are waiting. Try again in 60 s.",
    503: "The model is being loaded.",
    507: "The service's disk is nearly full. Delete jobs that you no longer need, or contact the operator.",
}


def problems(*statuses: int) -> "Answers":
    """Return the `responses` of a route for these statuses, each with an example."""
    kinds = {status: kind for kind, (status, _) in reversed(TITLES.items())}
    return {
        status: {
            "description": TITLES[kinds[status]][1],
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": f"#/components/schemas/{ProblemBody.__name__}"},
                    "example": problem_body(kinds[status], _SENTENCES[status]),
                }
            },
        }
        for status in statuses
    }


Answers = dict[int | str, dict[str, Any]]
"""The `responses` of a route: status -> description, example, schema."""

JOB_EXAMPLE: dict[str, Any] = {
    "description": "The job",
    "content": {"application/json": {"example": example_job()}},
}

_VOLUME = {"type": "string", "format": "binary", "description": "one volume: .nii.gz, .nii, .nrrd or .mha"}

SUBMISSION: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        **dict.fromkeys(("t1", "t1ce", "t2", "flair"), _VOLUME),
                        "case": {
                            "type": "string",
                            "format": "binary",
                            "description": "instead of single files: a zip of one case's folder",
                        },
                        "options": {
                            "type": "string",
                            "contentMediaType": "application/json",
                            "contentSchema": OptionsBody.model_json_schema(),
                            "description": "options, as a JSON object",
                        },
                    },
                    "additionalProperties": False,
                },
                "encoding": {"options": {"contentType": "application/json"}},
                "examples": {
                    "two": {
                        "summary": "T1ce and FLAIR, with probabilities",
                        "value": {
                            "t1ce": "(the bytes of t1ce.nii.gz)",
                            "flair": "(the bytes of flair.nii.gz)",
                            "options": '{"probabilities": true}',
                        },
                    }
                },
            }
        },
    }
}
