"""Sort a viewer's upload or server case into sequences.

Viewers send single images. The sequence is determined by the name of the image, the name of the related image, or the
request's `modality`.
"""

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.sequence_names import find_modalities
from brats_mm.errors import InputError
from brats_mm.io.recognise import recognise
from brats_mm.io.suffixes import strip_image_suffix
from brats_mm.io.volume import read_grid, read_stored
from brats_mm.learning.label_map import measure_compartment_volumes_ml, read_correction
from brats_mm.learning.store import LABELS, PREDICTION
from brats_mm.outputs.nifti import write_labels
from brats_mm_service.problems import Problem, find_error_kind
from brats_mm_service.settings import UploadLimits
from brats_mm_service.uploads.content import Content, check_content, check_volume, detect_content
from brats_mm_service.uploads.intake import CASE, is_plain, limit_notes, sort_upload
from brats_mm_service.uploads.multipart import ReceivedFile
from brats_mm_service.uploads.sorted_upload import SortedUpload

AUTO = "auto"
_MAX_NAME_LENGTH = 120


@dataclass(frozen=True)
class SortedViewerFiles:
    """Files of a viewer's upload.

    Attributes:
        upload: sequences stored as `<sequence>.<suffix>`. Empty if the only file is unsorted.
        unsorted: stored name of a single volume of unknown sequence.
    """

    upload: SortedUpload
    unsorted: str | None = None


def extract_plain_name(name: str) -> str:
    """Return the last part of a path with slashes or backslashes. Viewers send complete local paths."""
    last = re.split(r"[/\\]", name)[-1]
    return "".join(letter for letter in last if is_plain(letter))[-_MAX_NAME_LENGTH:]


def parse_modality(text: object) -> Modality | None:
    """Parse a request's `modality`, or return None for `auto` or a missing value.

    Raises:
        Problem: the sequence is unknown.
    """
    if text in (None, "", AUTO):
        return None
    modalities = find_modalities(str(text)[:80])
    if len(modalities) != 1:
        choices = ", ".join([AUTO, *(modality.value for modality in MODALITIES)])
        raise Problem("bad-option", f"Unknown modality {str(text)[:40]!r}. Choose one of {choices}.")
    return modalities.pop()


def sort_viewer_files(
    files: tuple[ReceivedFile, ...], folder: Path, limits: UploadLimits, *, hint: str = ""
) -> SortedViewerFiles:
    """Sort a viewer's upload: one volume, several volumes, or one zip of a case folder.

    Args:
        files: received files.
        folder: folder of the files. Contains only the sorted files afterwards.
        limits: limits for zips.
        hint: additional name that may contain the sequence of a single volume.

    Raises:
        Problem: the files cannot be used.
        OSError: the disk is full.
    """
    if not files:
        raise Problem("bad-request", "No file was sent. Send at least one volume, or a zip of a case's folder.")
    files_named = tuple(replace(file, filename=extract_plain_name(file.filename)) for file in files)
    if len(files_named) == 1 and files_named[0].size and detect_content(files_named[0].path) is Content.ZIP:
        return SortedViewerFiles(sort_upload((replace(files_named[0], field=CASE),), folder, limits))
    if len(files_named) == 1:
        return _sort_single(files_named[0], folder, limits, hint)
    return _sort_several(files_named, folder, limits)


def _sort_single(file: ReceivedFile, folder: Path, limits: UploadLimits, hint: str) -> SortedViewerFiles:
    for name in (file.filename, hint):
        modalities = find_modalities(strip_image_suffix(name))
        if len(modalities) == 1:
            return SortedViewerFiles(sort_upload((replace(file, field=modalities.pop().value),), folder, limits))
    if not file.size:
        raise Problem("bad-volume", "The file is empty (0 bytes). Send the volume again.")
    stored = "volume" + check_content(file.path, "The file", file.filename).value
    file.path.rename(folder / stored)
    _check(folder / stored)
    return SortedViewerFiles(SortedUpload({}, {}), stored)


def _check(path: Path) -> None:
    try:
        check_volume(path)
    except InputError as fault:
        raise Problem(find_error_kind(fault), str(fault).replace(f"{path.parent}/", "")) from fault


def _sort_several(files: tuple[ReceivedFile, ...], folder: Path, limits: UploadLimits) -> SortedViewerFiles:
    """Sort files by name, like those of a case folder."""
    together = folder / "together"
    together.mkdir()
    by_name: dict[str, ReceivedFile] = {}
    for file in files:
        name = re.sub(r"[^A-Za-z0-9._+-]", "_", file.filename).lstrip(".") or "file"
        if name in by_name:
            raise Problem("bad-case", f"Two files named {name} were sent. Send one file per sequence.")
        file.path.rename(together / name)
        by_name[name] = replace(file, path=together / name)
    try:
        case = recognise(together)
    except InputError as error:
        raise Problem(find_error_kind(error), str(error).replace(str(together), "the session")) from error
    received = tuple(replace(by_name[Path(path).name], field=modality.value) for modality, path in case.paths.items())
    upload = sort_upload(received, folder, limits)
    shutil.rmtree(together)
    remarked = replace(upload, ignored={**upload.ignored, **case.ignored}, notes=case.notes)
    return SortedViewerFiles(limit_notes(remarked))


@dataclass(frozen=True)
class StoredLabel:
    """A checked label map.

    Attributes:
        sent: stored name of the submitted file. `labels.nii.gz` in the same folder is on the grid of the image.
        volumes_ml: volume of each compartment.
    """

    sent: str
    volumes_ml: dict[str, float]


def store_label(file: ReceivedFile, folder: Path, image: str, value_names: dict[int, int]) -> StoredLabel:
    """Check a corrected label map against its image, and store it as submitted and on the grid of the image.

    Args:
        file: received file.
        folder: folder of the file and the image.
        image: file name of the image in `folder`.
        value_names: BraTS 2023 value by stored value, if the viewer sent label names.

    Raises:
        Problem: the file is not a volume, is damaged or empty, has another grid or unknown values.
    """
    if not file.size:
        raise Problem("bad-volume", "The label map is empty (0 bytes). Submit it again.")
    stored = "label" + check_content(file.path, "The label map", extract_plain_name(file.filename)).value
    file.path.rename(folder / stored)
    _check(folder / stored)
    try:
        grid = read_grid(folder / image)
        labels = read_correction(folder / stored, grid, value_names)
    except InputError as fault:
        raise Problem(find_error_kind(fault), str(fault).replace(f"{folder}/", "")) from fault
    write_labels(folder / LABELS, labels, grid)
    return StoredLabel(stored, measure_compartment_volumes_ml(labels, grid.voxel_ml))


def score_label(folder: Path) -> dict[str, dict[str, float | None]]:
    """Return the scores of the prediction in the folder of a stored label, by region."""
    from brats_mm.learning.scores import score_prediction

    corrected, predicted = (read_stored(folder / name) for name in (LABELS, PREDICTION))
    labels = predicted.data.astype(np.uint8)
    labels[labels == 4] = 3  # a job can use the label values of BraTS 2021
    return score_prediction(labels, corrected.data.astype(np.uint8), corrected.grid)


def link_sequences(sources: Mapping[Modality, Path], folder: Path) -> tuple[ReceivedFile, ...]:
    """Copy kept files, or those of a server case, to `folder` like an upload.

    Raises:
        OSError: a file cannot be read, or the disk is full.
    """
    received = []
    for number, (modality, source) in enumerate(sources.items()):
        target = folder / f"source-{number}"
        link_or_copy(source, target)
        received.append(
            ReceivedFile(modality.value, extract_plain_name(source.name), target, target.stat().st_size, "")
        )
    return tuple(received)


def link_or_copy(source: Path, target: Path) -> None:
    """Link a file, which is never modified, or copy it to another disk."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
