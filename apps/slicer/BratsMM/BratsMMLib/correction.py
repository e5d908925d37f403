"""Export a corrected segmentation on the grid of its result, and submit it to the service that made the result."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from BratsMMLib.consent import check_consent, check_url
from BratsMMLib.display import format_percent
from BratsMMLib.failures import Refused
from BratsMMLib.files import Form
from BratsMMLib.running import Inputs, Progress, Stop
from BratsMMLib.service import Place, make_headers, parse_json
from BratsMMLib.transport import HttpTransport, Request, Transport

SEGMENTS = ("ncr", "ed", "et")
"""Segments of a result. Each is exported with its place in this list, from 1, as in BraTS 2023."""
LABEL_FILE = "label.nrrd"


def export_labels(slicer: Any, scene: Any, segmentation: Any, grid: Any, path: Path) -> None:
    """Write the segments as one label map.

    Args:
        slicer: the module with Slicer's classes.
        scene: the MRML scene.
        segmentation: segmentation node of a result, corrected.
        grid: volume node of the result, with the same parent transform.
        path: NRRD file to write.

    Raises:
        Refused: a segment was added, or the file cannot be written.
    """
    present = [segmentation.GetSegmentation().GetNthSegmentID(at) for at in range(_count(segmentation))]
    added = [segmentation.GetSegmentation().GetSegment(name).GetName() for name in present if name not in SEGMENTS]
    if added:
        raise Refused(
            f"The segment “{added[0]}” is not part of the result. Merge it into one of the others, or delete it."
        )
    labels = scene.AddNode(slicer.vtkMRMLLabelMapVolumeNode())
    try:
        labels.CopyOrientation(grid)
        labels.SetAndObserveImageData(_merge_segments(slicer, segmentation, grid, present))
        storage = scene.AddNode(slicer.vtkMRMLNRRDStorageNode())
        storage.SetFileName(str(path))
        written = storage.WriteData(labels)
        scene.RemoveNode(storage)
    finally:
        scene.RemoveNode(labels)
    if not written or not path.is_file():
        raise Refused("The segmentation could not be written to a file. Check the disk.")


def _count(segmentation: Any) -> int:
    return int(segmentation.GetSegmentation().GetNumberOfSegments())


def _merge_segments(slicer: Any, segmentation: Any, grid: Any, present: list[str]) -> Any:
    """Return the voxels of all segments on a grid. On an overlap, the later of `SEGMENTS` counts."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    merged = vtk.vtkImageData()
    merged.SetDimensions(grid.GetImageData().GetDimensions())
    merged.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    values = vtk_to_numpy(merged.GetPointData().GetScalars())
    values[:] = 0
    geometry = slicer.vtkSlicerSegmentationsModuleLogic.CreateOrientedImageDataFromVolumeNode(
        grid, grid.GetParentTransformNode()
    )
    geometry.UnRegister(None)
    for value, name in enumerate(SEGMENTS, start=1):
        if name not in present:
            continue
        exported = slicer.vtkOrientedImageData()
        segmentation.GetBinaryLabelmapRepresentation(name, exported)
        if exported.IsEmpty():
            continue
        slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(exported, geometry, exported)
        values[vtk_to_numpy(exported.GetPointData().GetScalars()) > 0] = value
    return merged


@dataclass(frozen=True)
class Submission:
    """Submits a label map for a job that the service kept. A runner, so that it does not block the window.

    Attributes:
        place: the service that computed the job.
        job: ID of the job.
        author: person who corrected it.
        transport: sends requests.
        told: receives the sentence for the user.
    """

    place: Place
    job: str
    author: str
    told: Callable[[str], None]
    transport: Transport = field(default_factory=HttpTransport)

    def run(self, inputs: Inputs, folder: Path, tell: Callable[[Progress], None], stop: Stop) -> None:
        """Send the label map in `folder`, and report the stored version.

        Raises:
            NotAllowed: the service is on another machine, and the user has not agreed.
            Unreachable: the service does not respond.
            Refused: the service refused the label.
            Stopped: the submission was cancelled.
        """
        url = check_url(self.place.url)
        check_consent(url, agreed=self.place.agreed)
        names = [{"name": name, "idx": value} for value, name in enumerate(SEGMENTS, start=1)]
        texts = {"params": json.dumps({"author": self.author, "label_info": names})}
        form = Form.create({"label": folder / LABEL_FILE}, texts)

        def sent(done: int, total: int) -> None:
            stop.check()
            tell(Progress("Sending the correction", done / max(total, 1)))

        headers = {
            "Content-Type": form.content_type,
            "Content-Length": str(form.length),
            **make_headers(self.place),
        }
        image = quote(self.job, safe="")
        with self.transport.send(
            Request("PUT", f"{url}/datastore/label?image={image}", headers, form.chunks(sent))
        ) as answer:
            stored = parse_json(answer.status, b"".join(answer.chunks()))
        with self.transport.send(
            Request("GET", f"{url}/datastore/label/info?label={image}", make_headers(self.place))
        ) as answer:
            about = parse_json(answer.status, b"".join(answer.chunks()))
        self.told(outcome(stored, about))


def outcome(stored: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """Return what was stored and how well the result agrees with it, in one line."""
    scores = about.get("scores") or {}
    known = {name: score["dice"] for name, score in scores.items() if score.get("dice") is not None}
    dice = [f"{name.upper()} {format_percent(value)}" for name, value in known.items()]
    agreement = f" Dice of the result against it: {', '.join(dice)}." if dice else ""
    trained = "" if about.get("trainable", True) else " The model is not trained on it, because these are raw scans."
    return f"Version {stored.get('version', '?')} is stored.{agreement}{trained}"
