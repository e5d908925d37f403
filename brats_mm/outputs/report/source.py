"""What a report page is made of: from a prediction at hand, or from the files of a result."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brats_mm.domain.availability import ordered
from brats_mm.domain.case import Case
from brats_mm.domain.label_map import Mask
from brats_mm.domain.label_scheme import LabelScheme
from brats_mm.domain.lattice import match_lattice
from brats_mm.domain.modality import Modality
from brats_mm.domain.prediction import Prediction
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.volume import Array, Grid, Volume
from brats_mm.errors import GridError, OptionError
from brats_mm.io.reference_labels import read_reference
from brats_mm.io.volume import read_volume
from brats_mm.outputs.report.document import REPORT_VERSION

_OEDEMA_SHOWS_ON = (Modality.FLAIR, Modality.T2)
_CONTRAST_SHOWS_ON = (Modality.T1CE, Modality.T1)


@dataclass(frozen=True, eq=False)
class ReportSource:
    """A segmented case as a report shows it.

    Attributes:
        report: content of `report.json`.
        importance: content of `importance.json`.
        grid: the grid of all that follows.
        masks: region -> its voxels.
        entropy: of the compartment at each voxel, nats, 0 to ln 4.
        images: sequences to draw on, the most telling first; none where the images are not at hand.
    """

    report: Mapping[str, Any]
    importance: Mapping[str, Any]
    grid: Grid
    masks: Mapping[Region, Mask]
    entropy: Array
    images: Mapping[Modality, Volume]


def source_of(prediction: Prediction, report: Mapping[str, Any], importance: Mapping[str, Any]) -> ReportSource:
    """From a prediction and what was said of it."""
    return ReportSource(
        report=report,
        importance=importance,
        grid=prediction.case.grid,
        masks={region: prediction.mask(region) for region in REGIONS},
        entropy=prediction.combined_entropy(),
        images=_telling(prediction.case),
    )


def read_source(folder: Path, case: Case | None = None) -> ReportSource:
    """From the files that `brats-mm segment` wrote, and from the case's images where they are at hand.

    Args:
        folder: with `report.json`, `importance.json`, `segmentation.nii.gz` and `entropy.nii.gz`.
        case: the case that was segmented. It may have sequences that were not used; they are not shown.

    Raises:
        OptionError: the folder holds no result, or one of another version.
        VolumeError, GridError: a volume is damaged, or does not lie where the others do.
    """
    report, importance = _document(folder / "report.json"), _document(folder / "importance.json")
    version = report.get("report_version")
    if version != REPORT_VERSION:
        message = (
            f"The result in {folder} was written by another version of brats-mm (report {version}, this one reads "
            f"{REPORT_VERSION}). Segment the case again."
        )
        raise OptionError(message)
    entropy = read_volume(folder / "entropy.nii.gz")
    masks = read_reference(folder / "segmentation.nii.gz", entropy.grid, LabelScheme(report["label_convention"]))
    images = _telling(case, used=report["sequences_found"]) if case is not None else {}
    if case is not None:
        _check_grid(case.grid, entropy.grid, folder)
        if not images:
            message = (
                f"The images of case {case.name} are {_listed(case.available)}, of which the result in {folder} used "
                f"none ({', '.join(report['sequences_found'])}). Give the folder of the case that was segmented."
            )
            raise OptionError(message)
    return ReportSource(report, importance, entropy.grid, masks, entropy.data, images)


def _telling(case: Case, used: list[str] | None = None) -> dict[Modality, Volume]:
    """One image for the oedema and one for the contrast, of those that the model was given."""
    there = [m for m in ordered(case.available) if used is None or m.value in used]
    chosen = [next((m for m in wanted if m in there), None) for wanted in (_OEDEMA_SHOWS_ON, _CONTRAST_SHOWS_ON)]
    return {modality: case.volumes[modality] for modality in chosen if modality is not None}


def _check_grid(images: Grid, result: Grid, folder: Path) -> None:
    match = match_lattice(images, result)
    if match is not None and match.is_stored_alike and match.fills(result.shape):
        return
    sides = [" x ".join(map(str, grid.shape)) for grid in (images, result)]
    message = (
        f"The images have {sides[0]} voxels and the result in {folder} has {sides[1]}, or they lie elsewhere. Give "
        "with --case the folder of the case that was segmented."
    )
    raise GridError(message)


def _listed(modalities: Any) -> str:
    return ", ".join(modality.label for modality in ordered(modalities))


def _document(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"{path} cannot be read ({error}). Give a folder that `brats-mm segment` wrote."
        raise OptionError(message) from error
    return found
