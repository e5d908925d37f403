"""Sort uploaded files into sequences and check them before a job is accepted."""

import hashlib
import json
import secrets
import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path

from brats_mm.domain.availability import sort_modalities
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.errors import BratsMMError, InputError
from brats_mm.io.dicom.choice import LEAVE_OUT
from brats_mm.io.recognise import recognise
from brats_mm.pipeline.dicom_study import SeriesOverrides
from brats_mm.pipeline.load import is_dicom_folder, reject_bids
from brats_mm.pipeline.request import SegmentRequest, to_json
from brats_mm_service.jobs.model import NewJob, replace_stored_names
from brats_mm_service.problems import Problem, find_error_kind
from brats_mm_service.settings import UploadLimits
from brats_mm_service.uploads.content import Content, check_content, check_volume, detect_content
from brats_mm_service.uploads.dicom import store_study
from brats_mm_service.uploads.multipart import ReceivedFile
from brats_mm_service.uploads.sorted_upload import SortedUpload
from brats_mm_service.uploads.zips import unpack

CASE = "case"
FILE_FIELDS = (*(modality.value for modality in MODALITIES), CASE)
MOST_REMARKS, LONGEST_REMARK = 100, 500
"""Largest number of remarks on an upload, and their length in characters."""


def sort_upload(
    files: tuple[ReceivedFile, ...], folder: Path, limits: UploadLimits, *, dicom: SeriesOverrides | None = None
) -> SortedUpload:
    """Sort and check received files, and leave only the sequences in `folder`.

    Args:
        files: received files in `folder`.
        folder: folder of this upload only.
        limits: limits of zips.
        dicom: the caller's choice of DICOM series. None if DICOM is not accepted.

    Raises:
        Problem: the files cannot be used as a case.
        OSError: the disk is full.
    """
    for file in files:
        _check_name(file)
    fields = [file.field for file in files]
    doubles = sorted({field for field in fields if fields.count(field) > 1})
    if doubles:
        raise Problem("bad-case", f"{', '.join(doubles)} was sent more than once. Send one file per sequence.")
    if not files:
        raise Problem("bad-case", f"No sequence was sent. Send at least one file, as one of {', '.join(FILE_FIELDS)}.")
    if CASE in fields and len(files) > 1:
        raise Problem("bad-case", "Both a zip of a case and single files were sent. Send only one of them.")
    if dicom is not None and not dicom.bids.is_empty and CASE not in fields:
        message = "participant, session, run and acquisition need a BIDS dataset. Send its zip, or omit them."
        raise Problem("bad-case", message)
    upload = _sort_zip(files[0], folder, limits, dicom) if CASE in fields else _sort_files(files, folder)
    _check_volumes(upload, folder)
    return limit_notes(upload)


def limit_notes(upload: SortedUpload) -> SortedUpload:
    """Limit the number and length of an upload's notes, because they are stored and listed with its job.

    A zip can hold 50,000 files that no job uses, and a reason can quote an option of 64 KiB.
    """
    shown = list(upload.ignored.items())[:MOST_REMARKS]
    ignored = {name[-LONGEST_REMARK:]: reason[:LONGEST_REMARK] for name, reason in shown}
    if more := len(upload.ignored) - len(shown):
        ignored[f"and {more:,} more"] = "see the first ones"
    notes = tuple(note[:LONGEST_REMARK] for note in upload.notes[:MOST_REMARKS])
    return replace(upload, ignored=ignored, notes=notes)


def make_new_job(
    owner: str,
    request: SegmentRequest,
    upload: SortedUpload,
    *,
    keep_upload: bool = False,
    files: tuple[ReceivedFile, ...] = (),
    key: str | None = None,
) -> NewJob:
    """Return a job for a sorted upload, with an ID that cannot be guessed.

    Args:
        owner: the caller.
        request: options of the job.
        upload: sorted upload.
        keep_upload: keep the uploaded files as long as the results.
        files: received files, whose hashes identify a repeated request.
        key: the caller's Idempotency-Key.
    """
    content = json.dumps([to_json(request), keep_upload, sorted((file.field, file.sha256) for file in files)])
    return NewJob(
        id=secrets.token_urlsafe(18),
        owner=owner,
        request=request,
        keep_upload=keep_upload,
        sequences=upload.sequences,
        ignored=upload.ignored,
        notes=upload.notes,
        names=upload.names,
        key=key,
        fingerprint=hashlib.sha256(content.encode()).hexdigest(),
    )


def is_plain(name: str) -> bool:
    """Return whether a name has no control characters and none that change the writing direction (U+202E)."""
    return not any(unicodedata.category(letter).startswith("C") for letter in name)


def _check_name(file: ReceivedFile) -> None:
    name = file.filename
    if "/" in name or "\\" in name or name in ("..", ".") or not is_plain(name):
        message = f"The file name of {file.field} must be a plain name, without folders or control characters."
        raise Problem("bad-request", message)
    if file.size == 0:
        raise Problem("bad-volume", f"{name or file.field} is empty (0 bytes). Omit missing sequences.")


def _sort_files(files: tuple[ReceivedFile, ...], folder: Path) -> SortedUpload:
    stored = {}
    for file in files:
        shown_name = file.filename or file.field
        name = file.field + check_content(file.path, shown_name, file.filename).value
        file.path.rename(folder / name)
        stored[Modality(file.field)] = name
    names = {file.field: file.filename or file.field for file in files}
    in_order = [modality.value for modality in sort_modalities(stored)]
    return SortedUpload(
        {name: stored[Modality(name)] for name in in_order}, {}, names={name: names[name] for name in in_order}
    )


def _sort_zip(file: ReceivedFile, folder: Path, limits: UploadLimits, dicom: SeriesOverrides | None) -> SortedUpload:
    if detect_content(file.path) is not Content.ZIP:
        raise Problem(
            "unsupported-content", "The form field 'case' is not a zip file. Send the folder of a case as .zip."
        )
    unpacked = unpack(file.path, folder / "unpacked", limits)
    file.path.unlink()
    if unpacked.is_dicom and is_dicom_folder(unpacked.folder):
        if dicom is None:
            message = "The zip file holds DICOM files. Send a DICOM study to /v1/jobs, or convert its series to NIfTI."
            raise Problem("unsupported-content", message)
        reject_bids(dicom.bids)
        study = store_study(unpacked.folder, folder, dicom)
        shutil.rmtree(unpacked.folder)
        return replace(study, names=dict.fromkeys(study.sequences, file.filename))
    try:
        case = recognise(unpacked.folder, selection=dicom.bids if dicom else None)
    except InputError as error:
        raise Problem(find_error_kind(error), use_zip_terms(str(error), unpacked.folder)) from error
    stored, names = {}, {}
    left_out = {m for m, label in (dicom.series if dicom else {}).items() if label == LEAVE_OUT} & set(case.paths)
    if left_out == set(case.paths):
        raise Problem("bad-case", "The option series omits all sequences of the zip file. Keep at least one.")
    for modality in sort_modalities(set(case.paths) - left_out):
        path = Path(case.paths[modality])
        names[modality.value] = path.name
        name = modality.value + check_content(path, path.name, path.name).value
        path.rename(folder / name)
        stored[modality.value] = name
    ignored = {
        Path(case.paths[modality]).name: "omitted by the option series" for modality in sort_modalities(left_out)
    }
    shutil.rmtree(unpacked.folder)
    return SortedUpload(stored, {**unpacked.passed_over, **case.ignored, **ignored}, case.notes, names)


def use_zip_terms(sentence: str, folder: Path) -> str:
    """Replace the command-line options in a message with parts of a request, and the folder with "the zip file"."""
    sentence = sentence.replace(str(folder.resolve()), "the zip file").replace(str(folder), "the zip file")
    sentence = sentence.replace("by option: --t1, --t1ce, --t2, --flair", "as parts t1, t1ce, t2, flair")
    return sentence.replace("with --participant and --session", "with the options participant and session")


def _check_volumes(upload: SortedUpload, folder: Path) -> None:
    """Check each volume, and report all faults at once."""
    faults: list[BratsMMError] = []
    for name in upload.sequences.values():
        if (folder / name).is_dir():  # the headers of DICOM series were checked before
            continue
        try:
            check_volume(folder / name)
        except InputError as fault:
            faults.append(fault)
    if faults:
        message = " ".join(str(fault) for fault in faults)
        message = replace_stored_names(message.replace(f"{folder}/", ""), upload.sequences, upload.names)
        raise Problem(find_error_kind(faults[0]), message)
