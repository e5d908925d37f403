"""Data of a report page, from a prediction or from the files of a result."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brats_mm.data.json_file import read_json
from brats_mm.domain.availability import sort_modalities
from brats_mm.domain.case import Case, Scans
from brats_mm.domain.label_map import Mask
from brats_mm.domain.label_scheme import LabelScheme
from brats_mm.domain.lattice import match_lattice
from brats_mm.domain.modality import Modality
from brats_mm.domain.prediction import Prediction
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.volume import Array, Grid, Volume
from brats_mm.errors import GridError, OptionError
from brats_mm.io.case import build_case
from brats_mm.io.reference_labels import read_reference
from brats_mm.io.volume import read_volume
from brats_mm.outputs.registered import make_registered_name
from brats_mm.outputs.report.document import REPORT_VERSION

_OEDEMA_SHOWS_ON = (Modality.FLAIR, Modality.T2)
_CONTRAST_SHOWS_ON = (Modality.T1CE, Modality.T1)


@dataclass(frozen=True, eq=False)
class ReportSource:
    """Data of a report page.

    Attributes:
        report: content of `report.json`.
        importance: content of `importance.json`.
        grid: grid of the masks, entropy and images.
        masks: region -> mask.
        entropy: entropy of the compartments in nats, 0 to ln 4.
        images: background sequences in order of preference. Empty if there are no images.
    """

    report: Mapping[str, Any]
    importance: Mapping[str, Any]
    grid: Grid
    masks: Mapping[Region, Mask]
    entropy: Array
    images: Mapping[Modality, Volume]


def build_source(prediction: Prediction, report: Mapping[str, Any], importance: Mapping[str, Any]) -> ReportSource:
    """Build the page's data from a prediction and its documents."""
    return ReportSource(
        report=report,
        importance=importance,
        grid=prediction.case.grid,
        masks={region: prediction.mask(region) for region in REGIONS},
        entropy=prediction.combined_entropy(),
        images=_choose_background_images(prediction.case.volumes, report["sequences_found"]),
    )


def read_source(folder: Path, scans: Scans | Case | None = None) -> ReportSource:
    """Read the page's data from the files of `brats-mm segment`.

    Args:
        folder: folder with `report.json`, `importance.json`, `segmentation.nii.gz` and `entropy.nii.gz`. Registered
            scans in it are shown.
        scans: the segmented sequences. Unused ones are not shown. For raw scans, only the reference is used, because
            the others have different grids.

    Raises:
        OptionError: the folder contains no result, or one of another version.
        VolumeError, GridError: a volume is damaged or on another grid.
    """
    report, importance = (
        read_json(folder / name, OptionError, "Use a folder written by `brats-mm segment`.")
        for name in ("report.json", "importance.json")
    )
    version = report.get("report_version")
    if version != REPORT_VERSION:
        raise OptionError(
            f"The result in {folder} has report version {version}, but this version of brats-mm reads version "
            f"{REPORT_VERSION}. Segment the case again."
        )
    entropy = read_volume(folder / "entropy.nii.gz")
    masks = read_reference(folder / "segmentation.nii.gz", entropy.grid, LabelScheme(report["label_convention"]))
    registered = {
        m: read_volume(folder / make_registered_name(m))
        for m in Modality
        if (folder / make_registered_name(m)).is_file()
    }
    originals = {} if scans is None else _load_on_result_grid(scans, report, entropy.grid, folder)
    images = _choose_background_images({**originals, **registered}, report["sequences_found"])
    if scans is not None and not images:
        raise OptionError(
            f"Case {scans.name} has {_join_labels(scans.volumes)}, but the result in {folder} used "
            f"{', '.join(report['sequences_found'])}. Provide the folder of the segmented case."
        )
    return ReportSource(report, importance, entropy.grid, masks, entropy.data, images)


def _load_on_result_grid(
    scans: Scans | Case, report: Mapping[str, Any], grid: Grid, folder: Path
) -> Mapping[Modality, Volume]:
    """Return the images on the grid of the result: all of a prepared case, the reference of raw scans."""
    reference = (report.get("preparation") or {}).get("reference")
    if reference is not None:
        modality = Modality(reference)
        if modality not in scans.volumes:
            return {}
        _check_grid(scans.volumes[modality].grid, grid, folder)
        return {modality: scans.volumes[modality]}
    case = scans if isinstance(scans, Case) else build_case(scans)
    _check_grid(case.grid, grid, folder)
    return case.volumes


def _choose_background_images(volumes: Mapping[Modality, Volume], used: Collection[str]) -> dict[Modality, Volume]:
    """Choose one image for oedema and one for contrast from the sequences used."""
    usable = [m for m in sort_modalities(volumes) if m.value in used]
    choices = [
        next((m for m in preferred if m in usable), None) for preferred in (_OEDEMA_SHOWS_ON, _CONTRAST_SHOWS_ON)
    ]
    return {modality: volumes[modality] for modality in choices if modality is not None}


def _check_grid(images: Grid, result: Grid, folder: Path) -> None:
    match = match_lattice(images, result)
    if match is not None and match.is_stored_alike and match.fills(result.shape):
        return
    sides = [" x ".join(map(str, grid.shape)) for grid in (images, result)]
    raise GridError(
        f"The images ({sides[0]} voxels) and the result in {folder} ({sides[1]} voxels) are on different grids. "
        "Provide the folder of the segmented case with --case."
    )


def _join_labels(modalities: Any) -> str:
    return ", ".join(modality.label for modality in sort_modalities(modalities))
