"""Labels submitted by viewers: checked, linked to the prediction that they correct, and stored permanently.

Each submission is a new version. Only its owner sees it. It is kept until the owner deletes it.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from brats_mm.domain.modality import Modality
from brats_mm.errors import OptionError
from brats_mm.io.bundle import compute_sha256
from brats_mm.io.suffixes import find_image_suffix
from brats_mm.learning.corrections import (
    FINAL,
    CorrectedPrediction,
    Correction,
    choose_role,
    find_next_version,
)
from brats_mm.learning.label_map import find_values_by_name
from brats_mm.learning.store import LABELS, PREDICTION
from brats_mm_service.auth.callers import Caller
from brats_mm_service.bodies import parse_json_object
from brats_mm_service.jobs.model import Job
from brats_mm_service.logs import log
from brats_mm_service.monai_label.images import ImageFiles, ViewerImages, make_missing_image_error
from brats_mm_service.monai_label.job_images import find_finished_job, is_raw, locate_reference_file
from brats_mm_service.monai_label.jobs import read_result_json
from brats_mm_service.problems import Problem
from brats_mm_service.uploads.multipart import Form
from brats_mm_service.viewer.intake import extract_plain_name, link_or_copy

_MAX_AUTHOR_LENGTH = 120
MAX_INFO_BYTES = 128 * 1024
"""Maximum size in bytes of a viewer's information about an image or a label, as JSON."""
MAX_LABELS = 5000
"""Maximum number of labels of a caller. Each submission reads all their records."""


class ViewerCorrections:
    """Corrected labels of callers' images."""

    def __init__(self, images: ViewerImages) -> None:
        self._images = images
        self._service = images.service
        self._store = images.service.corrections

    def submit(self, caller: Caller, form: Form, folder: Path, image: str, tag: str) -> Correction:
        """Check and store a label as a new version.

        Args:
            caller: owner of the label.
            form: form with the field `label`, and `params` as JSON.
            folder: folder of the received file. It is moved into the store.
            image: image or finished job of the caller, or case on the server.
            tag: tag of the label.

        Raises:
            Problem: the image does not exist, or the label does not match it.
        """
        job = self._find_prediction(caller, image)
        files = self._find_files(caller, image, job)
        if not form.files:
            raise Problem("bad-request", "No label map was sent. Send it in the form field 'label'.")
        file = form.files[0]
        params = parse_json_object(form.texts.get("params"), "params")
        if len(self._store.all(caller.name)) >= MAX_LABELS:
            message = f"You already have {MAX_LABELS} labels, the maximum of this service. Delete some first."
            raise Problem("too-many", message)
        try:
            sequences, main = _link_images(_add_modality(files, job), folder)
        except FileNotFoundError as error:  # deleted meanwhile
            raise make_missing_image_error(image) from error
        stored = self._service.checker.store_label(file, folder, main, _parse_value_names(params))
        prediction = self._copy_prediction(job, folder)
        scores = {} if prediction is None else self._score_prediction(folder)
        info = {"params": params}
        author = str(params.get("author") or params.get("client_id") or form.texts.get("client_id") or "")
        content = _hash_content(folder, sequences.values() if sequences else [main])

        def make(existing: list[Correction]) -> Correction:
            return Correction(
                id=secrets.token_hex(12),
                owner=caller.name,
                image=image,
                tag=tag,
                version=find_next_version(existing, caller.name, image, tag),
                created=time.time(),
                author=author[:_MAX_AUTHOR_LENGTH],
                content=content,
                role=choose_role(existing, content),
                sequences=sequences,
                name=extract_plain_name(file.filename),
                sent=stored.sent,
                volumes_ml=stored.volumes_ml,
                prediction=prediction,
                scores=scores,
                info=info,
            )

        correction = self._store.add(folder, make)
        log("label_stored", correction=correction.id, version=correction.version, scored=bool(scores))
        return correction

    def get(self, caller: Caller, image: str, tag: str, version: int | None = None) -> Correction:
        """Return a version of a label, by default the newest.

        Raises:
            Problem: the caller has no such label.
        """
        versions = self._store.list_for_image(caller.name, image, tag)
        correction = next((candidate for candidate in reversed(versions) if version in (None, candidate.version)), None)
        if correction is None:
            raise _make_missing_label_error(image, tag, version)
        return correction

    def file(self, correction: Correction, *, as_sent: bool = True) -> Path:
        """Return the file of a label, as submitted or on the grid of its image."""
        return self._store.folder(correction) / (correction.sent if as_sent else LABELS)

    def remove(self, caller: Caller, image: str, tag: str | None = None) -> None:
        """Delete all versions of an image's labels with one tag, or with any tag if it is None."""
        for correction in self._store.all(caller.name):
            if correction.image == image and tag in (None, correction.tag):
                self._store.remove(correction)

    def merge_info(self, caller: Caller, image: str, tag: str, info: Mapping[str, Any]) -> dict[str, Any]:
        """Merge information into the newest version of a label, and return it."""
        correction = self.get(caller, image, tag)
        merged = merge_info(correction.info, info)
        try:
            self._store.change(replace(correction, info=merged))
        except FileNotFoundError as error:
            raise _make_missing_label_error(image, tag) from error
        return merged

    def score_again(self, caller: Caller) -> None:
        """Score the caller's final labels that have a prediction and no scores yet."""
        for correction in self._store.all(caller.name):
            if correction.tag == FINAL and correction.prediction is not None and not correction.scores:
                with suppress(FileNotFoundError):  # deleted meanwhile
                    self._store.change(
                        replace(correction, scores=self._score_prediction(self._store.folder(correction)))
                    )

    def _find_files(self, caller: Caller, image: str, job: Job | None) -> ImageFiles:
        """Return the images of a label. Raw scans are omitted, because the model is trained on preprocessed images."""
        files = self._images.files(caller, image)
        if job is not None and is_raw(self._service, job):
            return ImageFiles({}, grid=locate_reference_file(self._service, job))
        return files

    def _find_prediction(self, caller: Caller, image: str) -> Job | None:
        """Return the newest job that segmented the image, or the job whose ID is the image."""
        job_id = self._service.predictions.find_job(caller.name, image) or image
        return find_finished_job(self._service, caller, job_id)

    def _copy_prediction(self, job: Job | None, folder: Path) -> CorrectedPrediction | None:
        if job is None:
            return None
        result = self._service.queue.files.result(job.id)
        model: Any = read_result_json(result, "report.json").get("model", {})
        try:
            link_or_copy(result / "segmentation.nii.gz", folder / PREDICTION)
        except FileNotFoundError:  # the result expired meanwhile
            return None
        return CorrectedPrediction(
            job.id,
            str(model.get("name", "")),
            str(model.get("version", "")),
            str(model.get("weights_sha256", "")),
        )

    def _score_prediction(self, folder: Path) -> Mapping[str, Mapping[str, float | None]]:
        """Score the prediction. If this fails, the label is kept without scores."""
        try:
            return self._service.checker.score_label(folder)
        except (Problem, OSError) as fault:
            log("label_not_scored", level="warning", error=type(fault).__name__)
            return {}


def merge_info(known: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """Merge a viewer's information with that of a newer request, which takes precedence.

    Raises:
        Problem: both together are too large.
    """
    merged = {**known, **added}
    if len(json.dumps(merged)) > MAX_INFO_BYTES:
        message = f"The information is larger than {MAX_INFO_BYTES:,} bytes, the maximum of this service. Send less."
        raise Problem("too-large", message)
    return merged


def _make_missing_label_error(image: str, tag: str, version: int | None = None) -> Problem:
    which = "" if version is None else f" in version {version}"
    return Problem(
        "not-found", f"{image[:80]!r} has no label with the tag {tag!r}{which}. Check the tag and the version."
    )


def _parse_value_names(params: Mapping[str, Any]) -> dict[int, int]:
    entries = params.get("label_info") or []
    if not isinstance(entries, list):
        raise Problem("bad-option", "label_info must be a list of entries such as {'name', 'idx'}.")
    try:
        return find_values_by_name(entries)
    except OptionError as error:
        raise Problem("bad-option", str(error)) from error


def _add_modality(files: ImageFiles, job: Job | None) -> ImageFiles:
    """Take the sequence of a single volume from the request that segmented it, if its name does not give it."""
    if files.sequences or job is None or len(job.sequences) != 1 or files.unsorted is None:
        return files
    return ImageFiles({Modality(next(iter(job.sequences))): files.unsorted})


def _link_images(files: ImageFiles, folder: Path) -> tuple[dict[str, str], str]:
    """Link the images next to the label. Return the stored names by sequence, and the name of the image to compare."""
    stored = {}
    for modality, source in files.sequences.items():
        name = f"{modality.value}{find_image_suffix(source.name) or ''}"
        link_or_copy(source, folder / name)
        stored[modality.value] = name
    if stored:
        return stored, next(iter(stored.values()))
    image = files.unsorted or files.grid
    assert image is not None, "an image has at least one file"
    name = f"image{find_image_suffix(image.name) or ''}"
    link_or_copy(image, folder / name)
    return {}, name


def _hash_content(folder: Path, names: Any) -> str:
    digest = hashlib.sha256(json.dumps(sorted(compute_sha256(folder / name) for name in names)).encode())
    return digest.hexdigest()
