"""Write `scene.mrb`: images, segmentation and uncertainty of one case for 3D Slicer.

An MRB file is a zip of a scene (.mrml) and its data, written here without 3D Slicer. It contains no case name, date,
file name or path, and only the geometry of the input's headers.
"""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from brats_mm.domain.availability import describe, sort_modalities
from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS
from brats_mm.domain.display import format_interval_ml, format_ml, format_percent, format_percents
from brats_mm.domain.grey_window import choose_grey_window
from brats_mm.domain.label_map import find_central_voxel
from brats_mm.domain.prediction import Prediction
from brats_mm.domain.regions import LabelConvention, Region
from brats_mm.domain.resample import find_bounding_box
from brats_mm.domain.volume import Grid, Volume
from brats_mm.outputs.folder import convert_output_errors
from brats_mm.outputs.scene import data as scene_data
from brats_mm.outputs.scene import nodes as scene_nodes
from brats_mm.outputs.scene.mrml import to_mrml
from brats_mm.outputs.scene.nodes import BACKGROUNDS, UNCERTAINTY_SHOWN_FROM, Image, Look, Scene
from brats_mm.outputs.seg_nrrd import stream_segmentation
from brats_mm.trust.assess import RegionTrust, assess

FOLDER = "BraTS-MM"
_MIN_DATE = (1980, 1, 1, 0, 0, 0)
"""Earliest date of the zip format, for reproducible files."""
_READABLE = 0o644 << 16


@dataclass(frozen=True)
class _Archive:
    """A zip file under construction."""

    zip: zipfile.ZipFile

    @contextmanager
    def entry(self, name: str, *, compressed: bool = False) -> Iterator[BufferedIOBase]:
        """Open a stream into the file `name` of the scene's folder. Images are already compressed."""
        info = zipfile.ZipInfo(f"{FOLDER}/{name}", date_time=_MIN_DATE)
        info.compress_type = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
        info.create_system, info.external_attr = 3, _READABLE
        with self.zip.open(info, "w", force_zip64=False) as raw:
            yield raw  # type: ignore[misc]  # (IO[bytes] in typeshed, but in fact a BufferedIOBase)

    def put(self, name: str, content: bytes) -> None:
        """Add a small file."""
        with self.entry(name, compressed=True) as raw:
            raw.write(content)


def write_scene(
    path: Path, prediction: Prediction, convention: LabelConvention, areas: Sequence[Mapping[str, Any]]
) -> None:
    """Write a scene with images, segment outlines, uncertainty overlay and uncertain regions.

    Args:
        path: ends in .mrb.
        prediction: the prediction.
        convention: label values of the segments.
        areas: `find_uncertain_regions` of the report. Slices cross at the first of them.

    Raises:
        OutputError: the file cannot be written.
    """
    case, grid = prediction.case, prediction.case.grid
    scene = _build_scene(prediction, areas)
    with convert_output_errors(path), zipfile.ZipFile(path, "w", allowZip64=True) as opened:
        archive = _Archive(opened)
        archive.put(f"{FOLDER}.mrml", to_mrml(scene_nodes.build_nodes(scene)))
        for image in scene.images:
            with archive.entry(image.file) as raw:
                scene_data.stream_image(raw, case.volumes[image.modality].data, grid)
        with archive.entry(scene_nodes.SEGMENTATION_FILE) as raw:
            stream_segmentation(raw, prediction.labels(convention), grid, convention, surfaces=True)
        with archive.entry(scene_nodes.ENTROPY_FILE) as raw:
            scene_data.stream_entropy(raw, prediction.combined_entropy(), grid)
        archive.put(scene_nodes.COLOURS_FILE, scene_data.build_colour_table())
        if areas:
            archive.put(scene_nodes.PLACES_FILE, scene_data.format_places(areas))


def _build_scene(prediction: Prediction, areas: Sequence[Mapping[str, Any]]) -> Scene:
    volumes, grid = prediction.case.volumes, prediction.case.grid
    images = tuple(
        Image(modality, choose_grey_window(volumes[modality], modality)) for modality in sort_modalities(volumes)
    )
    background = next(modality for modality in BACKGROUNDS if modality in volumes)
    low, high = _find_box_mm(volumes[background], grid)
    return Scene(
        grid=grid,
        images=images,
        background=background,
        look=Look(at_mm=_find_intersection(prediction, areas, (low + high) / 2), low_mm=low, high_mm=high),
        has_places=bool(areas),
        note=note(prediction),
    )


def note(prediction: Prediction) -> str:
    """Return the text of the scene's note."""
    case, model = prediction.case, prediction.model
    lines = [
        NOT_FOR_DIAGNOSIS,
        "",
        f"Sequences used: {describe(case.available)}. Missing: {describe(case.missing)}.",
        f"Model: {model.name} {model.version}, weights {model.weights_sha256[:12]}.",
        "Outlines: the segments. Colours: the model's uncertainty (entropy in nats, 0 certain, 1.39 undecided), hidden "
        f"below {UNCERTAINTY_SHOWN_FROM} nats.",
    ]
    assessment = assess(prediction)
    lines += [_describe_reliability(prediction, region, trust) for region, trust in assessment.regions.items()]
    lines += [] if assessment.advice is None else [assessment.advice]
    return "\n".join([*lines, assessment.statement, *(f"Warning: {warning}" for warning in assessment.warnings)])


def _describe_reliability(prediction: Prediction, region: Region, trust: RegionTrust) -> str:
    volume = f"{region.label.capitalize()}: {format_ml(prediction.volume_ml(region))} mL"
    if trust.volume_interval_ml is not None:
        volume += f" ({format_interval_ml(trust.volume_interval_ml)})"
    if trust.grade is None or trust.expected_dice is None:
        return f"{volume}, not graded."
    interval = "" if trust.dice_interval is None else f" ({format_percents(trust.dice_interval)})"
    dice = f"expected Dice {format_percent(trust.expected_dice)}{interval}"
    return f"{volume}, {dice}, {trust.grade.value}: {trust.action}."


def _find_box_mm(image: Volume, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and highest patient coordinates of the box around an image's foreground."""
    box = find_bounding_box(image.foreground)
    ends = [(side.start, max(side.stop - 1, side.start)) for side in box]
    index = np.array([[x, y, z, 1.0] for x in ends[0] for y in ends[1] for z in ends[2]])
    corners = (index @ grid.affine.T)[:, :3]
    return corners.min(axis=0), corners.max(axis=0)


def _find_intersection(prediction: Prediction, areas: Sequence[Mapping[str, Any]], middle: np.ndarray) -> np.ndarray:
    """Return the intersection of the slices: the first uncertain region, else the centre of the tumour or brain."""
    if areas:
        return np.asarray(areas[0]["position_mm_ras"], np.float64)
    nearest = find_central_voxel(prediction.mask(Region.WT))
    return middle if nearest is None else np.asarray((prediction.case.grid.affine @ [*nearest, 1.0])[:3])
