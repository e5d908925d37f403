"""MONAI Label's datastore: cases on the server, and the caller's uploaded images and corrected labels.

Cases on the server are read-only. Uploads and labels belong to their caller. Uploads expire like results.
"""

import asyncio
import hashlib
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool

from brats_mm.learning.corrections import FINAL
from brats_mm_service.auth.callers import Caller
from brats_mm_service.bodies import parse_json_object
from brats_mm_service.monai_label.corrections import ViewerCorrections, merge_info
from brats_mm_service.monai_label.forms import VIEWER_PROBLEMS, document_viewer_response, receive_viewer_form
from brats_mm_service.monai_label.images import ViewerImages, describe_label, make_missing_image_error
from brats_mm_service.problems import Problem
from brats_mm_service.routes.documented import Answers, document_form
from brats_mm_service.routes.receiving import open_incoming_folder
from brats_mm_service.routes.stored_file import StoredFile
from brats_mm_service.service import Service
from brats_mm_service.uploads.multipart import Form
from brats_mm_service.viewer.intake import extract_plain_name
from brats_mm_service.viewer.store import Item, Kind

ImageId = Annotated[str, Query(min_length=1, max_length=300, description="the image's id")]
Tag = Annotated[str, Query(max_length=60)]
Version = Annotated[int | None, Query(ge=1, description="version of the label, by default the newest")]
_FILE: Answers = {200: {"description": "The file", "content": {"application/octet-stream": {"example": "(the bytes)"}}}}
_ALGORITHMS = ("MD5", "SHA256", "SHA512")


class Listing(str, Enum):
    """Content of a `/datastore/` response."""

    ALL = "all"
    STATS = "stats"
    TRAIN = "train"


def build_router(service: Service) -> APIRouter:
    """Return the routes under /datastore/."""
    routes = APIRouter(prefix="/datastore", tags=["MONAI Label"], responses=VIEWER_PROBLEMS)
    images = ViewerImages(service)
    corrections = ViewerCorrections(images)
    _add_listing(routes, service, images)
    _add_images(routes, service, images, corrections)
    _add_info(routes, service, images)
    _add_labels(routes, service, corrections)
    return routes


def _add_listing(routes: APIRouter, service: Service, images: ViewerImages) -> None:
    reader = Depends(service.auth.require_scope("jobs:read"))

    @routes.get(
        "/", summary="MONAI Label: images and labels", responses=document_viewer_response({"total": 3, "completed": 1})
    )
    def list_images(caller: Annotated[Caller, reader], output: Annotated[Listing, Query()] = Listing.STATS) -> Any:
        """Return counts, or all images with their labels, or the final labels for training."""
        if output is Listing.ALL:
            about = {"name": "BraTS-MM", "description": "Cases on the server, and your own uploads"}
            return {**about, "objects": images.objects(caller)}
        return images.list_training_labels(caller) if output is Listing.TRAIN else images.stats(caller)


def _add_images(routes: APIRouter, service: Service, images: ViewerImages, corrections: ViewerCorrections) -> None:
    reader = Depends(service.auth.require_scope("jobs:read"))
    writer = Depends(service.auth.require_scope("jobs:write"))

    @routes.put("/", summary="MONAI Label: upload an image", openapi_extra=document_form("file", texts=("params",)))
    @routes.put(
        "/image", summary="MONAI Label: upload an image", openapi_extra=document_form("file", texts=("params",))
    )
    async def upload_image(
        request: Request, caller: Annotated[Caller, writer], image: Annotated[str, Query(max_length=300)] = ""
    ) -> dict[str, str]:
        """Receive a volume, or a zip of a case folder. Its sequence is determined by its name, the ID, or its later
        use.
        """
        async with open_incoming_folder(service) as folder:
            form = await receive_viewer_form(
                service, request, caller, folder, files=("file",), texts=("params", "client_id")
            )
            item = await run_in_threadpool(_keep_image, images, caller, form, folder, image)
        return {"image": item.id}

    @routes.get("/image", summary="MONAI Label: an image's file", response_class=StoredFile, responses=_FILE)
    @routes.head("/image", include_in_schema=False)
    def read_image_file(
        image: ImageId,
        caller: Annotated[Caller, reader],
        check_sum: Annotated[str, Query(max_length=200)] = "",
        modality: Annotated[str, Query(max_length=20, description="sequence of a case")] = "",
    ) -> StoredFile:
        """Serve an image. For a case, this is the first or the named sequence."""
        path = images.find_file(caller, image, modality)
        try:
            matches = not check_sum or _matches_checksum(path, check_sum)
        except FileNotFoundError:  # deleted meanwhile
            matches = False
        if not matches:
            raise make_missing_image_error(image)
        name = path.name if image in path.name else f"{extract_plain_name(image)}_{path.name}"
        return StoredFile(path, media_type="application/octet-stream", filename=name)

    @routes.delete("/", summary="MONAI Label: delete an uploaded image")
    @routes.delete("/image", summary="MONAI Label: delete an uploaded image")
    def delete_image(caller: Annotated[Caller, writer], id: Annotated[str, Query(max_length=300)]) -> dict[str, str]:
        """Delete the caller's own uploads and their labels. Cases on the server are kept."""
        if images.store.get(caller.name, Kind.IMAGE, id) is None:
            raise _read_only(images, id)
        images.store.remove(caller.name, Kind.IMAGE, id)
        corrections.remove(caller, id)
        service.predictions.remove(caller.name, id)
        return {}


def _add_info(routes: APIRouter, service: Service, images: ViewerImages) -> None:
    reader = Depends(service.auth.require_scope("jobs:read"))
    writer = Depends(service.auth.require_scope("jobs:write"))

    @routes.get(
        "/image/info",
        summary="MONAI Label: information about an image",
        responses=document_viewer_response({"sequences": ["t1ce"]}),
    )
    def read_image_info(image: ImageId, caller: Annotated[Caller, reader]) -> dict[str, Any]:
        """Return the sequences of an image, and the information from its uploader."""
        entry = images.objects(caller).get(image)
        if entry is None:
            raise make_missing_image_error(image)
        return dict(entry["image"]["info"])

    @routes.put(
        "/image/info",
        summary="MONAI Label: add information about an image",
        openapi_extra=document_form(texts=("info",)),
    )
    async def update_image_info(image: ImageId, request: Request, caller: Annotated[Caller, writer]) -> dict[str, Any]:
        """Update the information about the caller's own uploads."""
        async with open_incoming_folder(service) as folder:
            form = await receive_viewer_form(service, request, caller, folder, files=(), texts=("info",))
        return await asyncio.to_thread(_merge_info, images, caller, image, form)


def _add_labels(routes: APIRouter, service: Service, corrections: ViewerCorrections) -> None:
    reader = Depends(service.auth.require_scope("jobs:read"))
    writer = Depends(service.auth.require_scope("jobs:write"))

    @routes.put(
        "/label",
        summary="MONAI Label: save a corrected label map",
        openapi_extra=document_form("label", texts=("params",)),
        responses=document_viewer_response({"image": "case-7", "label": "case-7"}),
    )
    async def save_label(
        image: ImageId, request: Request, caller: Annotated[Caller, writer], tag: Tag = FINAL
    ) -> dict[str, str | int]:
        """Store a label as a new version, for the caller only. It is kept until it is deleted.

        Its values must be 1 to 3, or be defined in `label_info` of `params`. Its grid must be that of the image.
        `image` can also be a finished job, whose result the label corrects. It is used for training if the job kept its
        images.
        """
        async with open_incoming_folder(service) as folder:
            form = await receive_viewer_form(
                service, request, caller, folder, files=("label",), texts=("params", "client_id")
            )
            correction = await run_in_threadpool(corrections.submit, caller, form, folder, image, tag or FINAL)
        return {"image": image, "label": image, "version": correction.version}

    @routes.get("/label", summary="MONAI Label: a label's file", response_class=StoredFile, responses=_FILE)
    @routes.head("/label", include_in_schema=False)
    def read_label_file(
        label: ImageId, caller: Annotated[Caller, reader], tag: Tag = FINAL, version: Version = None
    ) -> StoredFile:
        """Serve a label as submitted."""
        path = corrections.file(corrections.get(caller, label, tag or FINAL, version))
        name = f"{extract_plain_name(label)}{path.name.removeprefix('label')}"
        return StoredFile(path, media_type="application/octet-stream", filename=name)

    @routes.delete("/label", summary="MONAI Label: delete a label")
    def delete_label(
        caller: Annotated[Caller, writer],
        id: Annotated[str, Query(max_length=300)],
        tag: Tag = FINAL,
    ) -> dict[str, str]:
        """Delete all versions of the caller's own label."""
        corrections.get(caller, id, tag or FINAL)
        corrections.remove(caller, id, tag or FINAL)
        return {}

    @routes.get(
        "/label/info",
        summary="MONAI Label: information about a label",
        responses=document_viewer_response({"name": "label.nii.gz"}),
    )
    def read_label_info(
        label: ImageId, caller: Annotated[Caller, reader], tag: Tag = FINAL, version: Version = None
    ) -> dict[str, Any]:
        """Return author, time, version, the corrected prediction and its scores, and the information saved by the
        viewer.
        """
        return describe_label(corrections.get(caller, label, tag or FINAL, version))

    @routes.put(
        "/label/info",
        summary="MONAI Label: add information about a label",
        openapi_extra=document_form(texts=("info",)),
    )
    async def update_label_info(
        label: ImageId, request: Request, caller: Annotated[Caller, writer], tag: Tag = FINAL
    ) -> dict[str, Any]:
        """Merge information into that of the label."""
        async with open_incoming_folder(service) as folder:
            form = await receive_viewer_form(service, request, caller, folder, files=(), texts=("info",))
        info = parse_json_object(form.texts.get("info"), "info")
        return await asyncio.to_thread(corrections.merge_info, caller, label, tag or FINAL, info)


def _keep_image(images: ViewerImages, caller: Caller, form: Form, folder: Path, image: str) -> Item:
    settings = images.service.settings
    name = extract_plain_name(form.files[0].filename) if form.files else ""
    sorted_files = images.service.checker.sort_viewer_files(form.files, folder, hint=image)
    item = Item(
        id=image or name.split(".")[0] or "image",
        name=name,
        sequences=sorted_files.upload.sequences,
        unsorted=sorted_files.unsorted,
        notes={"ignored": dict(sorted_files.upload.ignored), "notes": list(sorted_files.upload.notes)},
        info={"params": parse_json_object(form.texts.get("params"), "params")},
        keep_s=settings.retention.result_s,
    )
    return images.store.put(caller.name, Kind.IMAGE, item, folder)


def _merge_info(images: ViewerImages, caller: Caller, item_id: str, form: Form) -> dict[str, Any]:
    item = images.store.get(caller.name, Kind.IMAGE, item_id)
    if item is None:
        raise _read_only(images, item_id)
    info = merge_info(item.info, parse_json_object(form.texts.get("info"), "info"))
    try:
        images.store.change(caller.name, Kind.IMAGE, replace(item, info=info))
    except FileNotFoundError as error:
        raise make_missing_image_error(item_id) from error
    return info


def _read_only(images: ViewerImages, image: str) -> Problem:
    if images.cases.get(image) is None:
        return make_missing_image_error(image)
    return Problem("forbidden", "Cases on the server are read-only. Ask the operator to change them.")


def _matches_checksum(path: Path, text: str) -> bool:
    """Return whether a file has a checksum such as `SHA256:0f1e...`."""
    algorithm, _, digest = text.rpartition(":")
    algorithm = (algorithm or "SHA256").upper()
    if algorithm not in _ALGORITHMS:
        raise Problem("bad-option", f"The checksum must be one of {', '.join(_ALGORITHMS)}, as in SHA256:0f1e.")
    hasher = hashlib.new(algorithm.lower(), usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            hasher.update(chunk)
    return hasher.hexdigest() == digest.lower()
