"""Images of a finished job, so that a corrected label can be submitted for the job itself."""

from collections.abc import Mapping
from pathlib import Path

from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.outputs.registered import make_image_name
from brats_mm_service.auth.callers import Caller
from brats_mm_service.jobs.model import Job
from brats_mm_service.jobs.states import JobState
from brats_mm_service.monai_label.jobs import read_result_json
from brats_mm_service.service import Service


def find_finished_job(service: Service, caller: Caller, job_id: str) -> Job | None:
    """Return a segmentation of the caller that has results, or None."""
    job = service.queue.records.get(job_id)
    if job is None or job.owner != caller.name or job.state is not JobState.DONE or job.training is not None:
        return None
    return job


def is_raw(service: Service, job: Job) -> bool:
    """Return whether a job segmented raw scans, which cannot be used for training directly."""
    preparation = read_result_json(service.queue.files.result(job.id), "report.json").get("preparation")
    return isinstance(preparation, Mapping) and preparation.get("kind") == "raw"


def find_job_images(service: Service, job: Job) -> Mapping[Modality, Path]:
    """Return the images of a job on the grid of its results, or none unless the caller kept them.

    A DICOM series is a volume of the result. Other images are used as they were uploaded.
    """
    if not job.keep_upload:
        return {}
    result, upload = service.queue.files.result(job.id), service.queue.files.upload(job.id)
    filenames = {modality: job.sequences[modality.value] for modality in MODALITIES if modality.value in job.sequences}
    candidates = {modality: (result / make_image_name(modality), upload / name) for modality, name in filenames.items()}
    files = {modality: next((path for path in pair if path.is_file()), None) for modality, pair in candidates.items()}
    return {modality: file for modality, file in files.items() if file is not None}


def locate_reference_file(service: Service, job: Job) -> Path:
    """Return a volume on the grid of the results: the segmentation itself."""
    return service.queue.files.result(job.id) / "segmentation.nii.gz"
