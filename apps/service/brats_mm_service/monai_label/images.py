"""Images that MONAI Label clients can refer to: cases on the server, uploaded images, sessions."""

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from brats_mm.domain.availability import sort_modalities
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.io.bundle import compute_sha256
from brats_mm.learning.corrections import FINAL, Correction, select_latest
from brats_mm_service.auth.callers import Caller
from brats_mm_service.monai_label.job_images import find_finished_job, find_job_images, locate_reference_file
from brats_mm_service.problems import Problem
from brats_mm_service.service import Service
from brats_mm_service.uploads.multipart import Form, ReceivedFile
from brats_mm_service.uploads.sorted_upload import SortedUpload
from brats_mm_service.viewer.cases import ServerCases, StoredCase
from brats_mm_service.viewer.expected_dice import ExpectedDiceFile
from brats_mm_service.viewer.intake import link_sequences, parse_modality
from brats_mm_service.viewer.store import Item, Kind

STRATEGIES = {
    "first": "First case without a corrected label",
    "random": "Random case without a corrected label",
    "uncertain": "Case with the lowest expected Dice without a corrected label. Cases without a result come last",
}
"""Description by name of each strategy to choose the next case."""


def make_missing_image_error(image: str) -> Problem:
    """Return the problem for an image that does not exist or belongs to another caller."""
    return Problem("not-found", f"There is no image {image[:80]!r}. It may have expired. Upload it again.")


def make_missing_session_error() -> Problem:
    """Return the problem for a session that does not exist or belongs to another caller."""
    return Problem("not-found", "There is no such session. It may have expired. Create a new one.")


@dataclass(frozen=True)
class ImageFiles:
    """Files of an image.

    Attributes:
        sequences: file of each sequence, in channel order.
        unsorted: a single volume of unknown sequence.
        grid: volume that defines the grid if there is no image for training.
    """

    sequences: Mapping[Modality, Path]
    unsorted: Path | None = None
    grid: Path | None = None


class ViewerImages:
    """Images by ID. Uploads of the caller take precedence over cases on the server."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.cases = ServerCases(service.settings.datastore)
        self.store = service.viewer_store
        self.corrections = service.corrections
        self.expected_dice = ExpectedDiceFile(service.settings.data)

    def gather(
        self, caller: Caller, form: Form, folder: Path, *, image: str, session_id: str, modality: object
    ) -> SortedUpload:
        """Collect the sequences of a request in `folder`, for a job.

        Args:
            caller: the authenticated caller.
            form: received form, with or without files.
            folder: folder for the sequences.
            image: ID of an image.
            session_id: ID of a session.
            modality: sequence of a single volume, or sequence to select from a case.

        Raises:
            Problem: there are no sequences, or the sequence of the only volume is unknown.
        """
        try:
            return self._gather(caller, form, folder, image, session_id, parse_modality(modality))
        except FileNotFoundError as error:  # deleted meanwhile
            raise make_missing_session_error() if session_id else make_missing_image_error(image) from error

    def _gather(
        self, caller: Caller, form: Form, folder: Path, image: str, session_id: str, modality_named: Modality | None
    ) -> SortedUpload:
        upload = _find_upload(form)
        _drop(form, keep=upload)
        if upload is not None and not session_id:
            return self._sort_sent(upload, modality_named, folder, image)
        if not image and not session_id:
            message = "No image was given. Set `image` or `session_id`, or send a `file`."
            raise Problem("bad-request", message)
        kind, item_id = (Kind.SESSION, session_id) if session_id else (Kind.IMAGE, image)
        item = self.store.get(caller.name, kind, item_id)
        if item is None and session_id:
            raise make_missing_session_error()
        case = self.cases.get(image) if item is None else self._open(caller, kind, item)
        if case is None:
            raise make_missing_image_error(image)
        sources = _select(case.sequences, case.unsorted, modality_named)
        sorted_files = self.service.checker.sort_upload(link_sequences(sources, folder), folder)
        if item is not None:
            self.store.change(caller.name, kind, item)
        notes = case.notes
        return replace(sorted_files, ignored=dict(notes.get("ignored", {})), notes=tuple(notes.get("notes", ())))

    def _open(self, caller: Caller, kind: Kind, item: Item) -> StoredCase:
        """Return a stored item of the caller with the paths of its files."""
        folder = self.store.folder(caller.name, kind, item.id)
        paths = {Modality(sequence): folder / name for sequence, name in item.sequences.items()}
        sequences = {modality: paths[modality] for modality in sort_modalities(paths)}
        return StoredCase(item.id, sequences, None if item.unsorted is None else folder / item.unsorted, item.notes)

    def _find(self, caller: Caller, image: str) -> StoredCase | None:
        """Return an uploaded image of the caller, or else the case on the server, or None."""
        item = self.store.get(caller.name, Kind.IMAGE, image)
        return self.cases.get(image) if item is None else self._open(caller, Kind.IMAGE, item)

    def stats(self, caller: Caller) -> dict[str, Any]:
        """Return the number of images, and of the caller's labels."""
        tags: dict[str, int] = {}
        for label in select_latest(self.corrections.all(caller.name)):
            tags[label.tag] = tags.get(label.tag, 0) + 1
        total = len(self.cases.ids()) + len(self.store.all(caller.name, Kind.IMAGE))
        return {"total": total, "completed": tags.get(FINAL, 0), "label_tags": tags}

    def objects(self, caller: Caller) -> dict[str, Any]:
        """Return all images with their labels, for `/datastore/?output=all`."""
        entries: dict[str, Any] = {}
        for case in self.cases.all():
            entries[case.id] = _make_entry(case.main_file.name, [m.value for m in case.sequences], dict(case.notes))
        for item in self.store.all(caller.name, Kind.IMAGE):
            entries[item.id] = _make_entry(
                item.main_file, list(item.sequences), dict(item.info) | {"ts": int(item.created)}
            )
        for label in select_latest(self.corrections.all(caller.name)):
            # An upload expires, but not its labels.
            expired = find_finished_job(self.service, caller, label.image) is None
            entry = entries.setdefault(label.image, _make_entry("", list(label.sequences), {"expired": expired}))
            entry["labels"][label.tag] = {"ext": _extract_extension(label.sent), "info": describe_label(label)}
        return entries

    def list_training_labels(self, caller: Caller) -> list[dict[str, Any]]:
        """Return the caller's final labels with their images, without paths on the server."""
        labels = select_latest(self.corrections.all(caller.name))
        return [
            {"image": label.image, "label": label.image, **describe_label(label)}
            for label in labels
            if label.is_trainable
        ]

    def files(self, caller: Caller, image: str) -> ImageFiles:
        """Return the files of an image that a label can belong to.

        A finished job of the caller counts as an image. If its images were not kept, its segmentation gives the grid.

        Raises:
            Problem: the image does not exist.
        """
        case = self._find(caller, image)
        if case is not None:
            return ImageFiles(case.sequences, case.unsorted)
        job = find_finished_job(self.service, caller, image)
        if job is None:
            raise make_missing_image_error(image)
        images = find_job_images(self.service, job)
        return ImageFiles(images, grid=None if images else locate_reference_file(self.service, job))

    def keep_prediction(self, caller: Caller, form: Form, *, image: str, session_id: str, job: str) -> None:
        """Record the job that segmented an image."""
        if image and not session_id and _find_upload(form) is None:
            self.service.predictions.note(caller.name, image, job)

    def following(self, caller: Caller, strategy: str) -> dict[str, Any]:
        """Return the next case on the server without a final label of the caller, or an empty object if there is none.

        Raises:
            Problem: the strategy is unknown.
        """
        if strategy not in STRATEGIES:
            message = f"There is no strategy {strategy[:40]!r}. Choose one of {', '.join(STRATEGIES)}."
            raise Problem("not-found", message)
        corrected = {label.image for label in self.corrections.all(caller.name) if label.tag == FINAL}
        waiting = [case for case in self.cases.all() if case.id not in corrected]
        if not waiting:
            return {}
        case = self._pick(waiting, strategy)
        file = case.main_file
        # Viewers cache downloads by name, so the name must be that of the case. The checksum shows changes.
        name = f"{case.id}_{file.name}" if case.id not in file.name else file.name
        return {"id": case.id, "name": name, "checksum": f"SHA256:{compute_sha256(file)}", "strategy": strategy}

    def _pick(self, waiting: Sequence[StoredCase], strategy: str) -> StoredCase:
        if strategy == "random":
            return secrets.choice(waiting)
        if strategy == "uncertain":
            expected = self.expected_dice.read()
            return min(waiting, key=lambda case: expected.get(case.id, math.inf))  # the first if several are equal
        return waiting[0]

    def find_server_case(self, caller: Caller, form: Form, *, image: str, session_id: str) -> str | None:
        """Return the ID of the server case that a request segments, or None for uploaded files."""
        is_upload = session_id or _find_upload(form) is not None
        if is_upload or self.store.get(caller.name, Kind.IMAGE, image) is not None or self.cases.get(image) is None:
            return None
        return image

    def find_file(self, caller: Caller, image: str, modality: object = None) -> Path:
        """Return the file of an image. For a case, this is the requested or the first sequence.

        Raises:
            Problem: the file does not exist.
        """
        named = parse_modality(modality)
        case = self._find(caller, image)
        if case is None:
            raise make_missing_image_error(image)
        if named is None:
            return case.main_file
        if named not in case.sequences:
            raise make_missing_image_error(f"{image} ({named.value})")
        return case.sequences[named]

    def _sort_sent(self, file: ReceivedFile, modality: Modality | None, folder: Path, image: str) -> SortedUpload:
        hint = modality.value if modality is not None else image
        renamed = file if modality is None else replace(file, filename="", field=modality.value)
        sorted_file = self.service.checker.sort_viewer_files((renamed,), folder, hint=hint)
        if sorted_file.unsorted is not None:
            raise _make_unknown_sequence_error()
        return sorted_file.upload


def _select(
    sequences: Mapping[Modality, Path], unsorted: Path | None, requested: Modality | None
) -> Mapping[Modality, Path]:
    """Select the volumes of a request, which may state the sequence of a single volume or of a case."""
    if len(sequences) <= 1 and requested is not None:
        only = next(iter(sequences.values()), unsorted)
        return {} if only is None else {requested: only}
    if not sequences:
        raise _make_unknown_sequence_error()
    if requested is None:
        return sequences
    if requested not in sequences:
        choices = ", ".join(modality.value for modality in sequences)
        raise Problem("bad-case", f"The case has no {requested.value}, only {choices}. Leave the modality at auto.")
    return {requested: sequences[requested]}


def _find_upload(form: Form) -> ReceivedFile | None:
    return next((file for file in form.files if file.field == "file"), None)


def _drop(form: Form, *, keep: ReceivedFile | None) -> None:
    """Remove other files, such as scribbles, which this model does not use."""
    for file in form.files:
        if file is not keep:
            file.path.unlink(missing_ok=True)


def _make_unknown_sequence_error() -> Problem:
    names = ", ".join(modality.value for modality in MODALITIES)
    return Problem(
        "bad-case",
        f"The sequence of this volume is unknown. Set the option `modality` to one of {names}, "
        "or include it in the file name, as in `patient_t1ce`.",
    )


def describe_label(correction: Correction) -> dict[str, Any]:
    """Return the information about a label for its owner."""
    predicted = correction.prediction
    return {
        **correction.info,
        "name": correction.name,
        "ts": int(correction.created),
        "version": correction.version,
        "author": correction.author,
        "role": correction.role.value,
        "sequences": list(correction.sequences),
        "trainable": correction.is_trainable,
        "volumes_ml": dict(correction.volumes_ml),
        "prediction": None if predicted is None else asdict(predicted),
        "scores": {region: dict(values) for region, values in correction.scores.items()},
    }


def _make_entry(file: str, sequences: list[str], info: dict[str, Any]) -> dict[str, Any]:
    return {"image": {"ext": _extract_extension(file), "info": {**info, "sequences": sequences}}, "labels": {}}


def _extract_extension(file: str) -> str:
    return "".join(Path(file).suffixes[-2:]) if file.endswith((".nii.gz", ".seg.nrrd")) else Path(file).suffix
