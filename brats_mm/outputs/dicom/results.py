"""Write the DICOM objects of a segmented case on the slices of one series."""

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from brats_mm import __version__
from brats_mm.domain.availability import sort_modalities
from brats_mm.domain.lattice import ROUNDING, have_same_voxels
from brats_mm.domain.modality import Modality
from brats_mm.domain.options import DICOM_FOLDER
from brats_mm.domain.prediction import THRESHOLD, Prediction
from brats_mm.domain.regions import Region
from brats_mm.domain.volume import Volume
from brats_mm.errors import BratsMMError, GridError, OptionError, VolumeError
from brats_mm.io.dicom.choice import Choice
from brats_mm.io.dicom.one_series import read_series
from brats_mm.io.dicom.scan import scan, select_study
from brats_mm.io.dicom.series import Series
from brats_mm.io.dicom.suppress_warnings import suppress_warnings
from brats_mm.outputs.dicom.findings import Findings, compute_findings
from brats_mm.outputs.dicom.objects import Provenance
from brats_mm.outputs.dicom.source import SourceSeries, read_source
from brats_mm.outputs.dicom.trial import check_headers
from brats_mm.outputs.folder import OutputFolder, convert_output_errors
from brats_mm.preprocessing.regridding import move_to_grid

SEGMENTATION, ENTROPY, REPORT = "segmentation.dcm", "entropy.dcm", "report.dcm"
STRUCTURES = "structures.dcm"
MIN_CORRELATION = 0.8
"""Smallest voxelwise correlation at which a series and an input count as the same image."""
MIN_INSIDE = 0.95
"""Minimum fraction of the tumour in the reference's field of view."""


@dataclass(frozen=True, eq=False)
class NamedReference:
    """A reference series given by the user, with voxels to verify it."""

    source: SourceSeries
    volume: Volume


@dataclass(frozen=True, eq=False)
class DicomOutput:
    """Settings and sources of DICOM results.

    Attributes:
        inputs: headers of the source series of each sequence. Empty unless the input is DICOM.
        named: reference series, if the user gave one.
        deidentify: remove the patient's identity.
        folder: folder of the objects below the results' folder. Empty, or ends in a slash.
        rtstruct: also write an RT Structure Set.
    """

    inputs: Mapping[Modality, SourceSeries] = field(default_factory=dict)
    named: NamedReference | None = None
    deidentify: bool = False
    folder: str = DICOM_FOLDER
    rtstruct: bool = False


def require_dicom_out() -> None:
    """Raise OptionError if highdicom is not installed."""
    if find_spec("highdicom") is None:
        raise OptionError('DICOM results need highdicom. Run: pip install "brats-mm[dicom]"')


def read_headers(choice: Choice) -> dict[Modality, SourceSeries]:
    """Read the headers of the chosen series, and check that results can refer to them.

    Raises:
        OptionError: highdicom is not installed.
        VolumeError: the headers of a series lack attributes that results need.
    """
    require_dicom_out()
    with suppress_warnings():
        return {modality: _read_checked_source(series) for modality, series in choice.chosen.items()}


def _read_checked_source(series: Series) -> SourceSeries:
    source = read_source(series)
    check_headers(source, series.title)
    return source


def read_folder_headers(folder: Path) -> SourceSeries:
    """Read the headers of the only series in a folder. A name ending in `#2` selects its second volume.

    Raises:
        OptionError: highdicom is not installed, or the folder contains no DICOM series.
        VolumeError: the headers lack attributes that results need.
    """
    require_dicom_out()
    if not folder.is_dir():
        raise OptionError("DICOM results need DICOM input. Send a zip of the study, or do not request them.")
    with suppress_warnings():
        series = select_study(scan(folder)).series
        part = int(folder.name.partition("#")[2] or 0)
        matches = [item for item in series if part in (0, item.part)]
        return _read_checked_source(matches[0])


def read_named_reference(folder: Path) -> NamedReference:
    """Read the only series in a folder as a reference.

    Raises:
        OptionError: highdicom is not installed, or there are several series.
        CaseError, VolumeError: there is no series, or it cannot be used.
    """
    require_dicom_out()
    with suppress_warnings():
        series = select_study(scan(folder)).series
        if len(series) != 1:
            raise OptionError(
                f"--dicom-reference {folder} holds {len(series)} series or volumes. Provide a folder with the "
                "files of a single series."
            )
        return NamedReference(_read_checked_source(series[0]), read_series(series[0]))


def write_dicom(prediction: Prediction, out: OutputFolder, output: DicomOutput) -> None:
    """Write SEG, Parametric Map and Structured Report, and an RT Structure Set if requested.

    Args:
        prediction: prediction on the grid of its results.
        out: an open output folder.
        output: settings and sources.

    Raises:
        GridError: the given reference does not show the segmented image.
        VolumeError: the headers have values that DICOM does not allow in results.
        OutputError: a file cannot be written.
    """
    from brats_mm.outputs.dicom.parametric_map import make_entropy_map
    from brats_mm.outputs.dicom.segmentation_object import make_segmentation
    from brats_mm.outputs.dicom.structured_report import make_report

    with suppress_warnings(), _hide_header_values():
        source = _choose_reference(prediction, output)
        findings = compute_findings(prediction, source.grid)
        key = _compute_key(prediction, findings, source, output)
        provenance = Provenance(key, deidentified=output.deidentify, software=__version__)
        if output.deidentify:
            from brats_mm.outputs.dicom.deidentify import deidentify_series

            source = deidentify_series(source)
        segmentation = make_segmentation(findings, source, provenance)
        objects = {
            SEGMENTATION: segmentation,
            ENTROPY: make_entropy_map(findings, source, provenance),
            REPORT: make_report(findings, source, segmentation, provenance),
        }
        if output.rtstruct:
            from brats_mm.outputs.dicom.structure_set import make_structure_set

            objects[STRUCTURES] = make_structure_set(findings, source, provenance)
        for name, item in objects.items():
            path = out.staged(f"{output.folder}{name}")
            with convert_output_errors(path):
                item.save_as(path, enforce_file_format=True)


@contextmanager
def _hide_header_values() -> Iterator[None]:
    """Re-raise errors of pydicom and highdicom without the original message, which may contain patient data."""
    try:
        yield
    except (BratsMMError, OSError):
        raise
    except Exception as error:  # noqa: BLE001 (pydicom and highdicom raise many types)
        raise VolumeError(
            "DICOM results cannot be created because the headers of the series have an invalid value "
            f"({type(error).__name__}). Correct the study, omit --dicom, or try --deidentify."
        ) from None


def _choose_reference(prediction: Prediction, output: DicomOutput) -> SourceSeries:
    """Return the series with the grid of the results."""
    if output.named is not None:
        _check_named(prediction, output.named)
        return output.named.source
    preparation = prediction.case.preparation
    if preparation is not None and preparation.reference is not None:
        return output.inputs[preparation.reference]
    used = [modality for modality in sort_modalities(prediction.case.available) if modality in output.inputs]
    grids = {modality: output.inputs[modality].grid for modality in used}
    candidates = [modality for modality in used if have_same_voxels(prediction.case.grid, grids[modality], ROUNDING)]
    return output.inputs[(candidates or used)[0]]


def _check_named(prediction: Prediction, reference: NamedReference) -> None:
    """Raise GridError unless the series has the input's voxels, or shows the same image at the same position."""
    case, grid = prediction.case, reference.source.grid
    if have_same_voxels(case.grid, grid, ROUNDING):
        return
    likeness = max(_compute_correlation(volume, reference.volume) for volume in case.volumes.values())
    if likeness < MIN_CORRELATION:
        raise GridError(
            "The series of --dicom-reference does not show the segmented image: its voxels differ, and its values "
            f"have a correlation of {max(likeness, 0):.2f} with the most similar sequence, but at least "
            f"{MIN_CORRELATION} is needed. "
            "Provide the series from which a sequence was converted, and keep the sequences in their "
            "original position."
        )
    tumour = (prediction.probabilities[Region.WT] >= THRESHOLD).astype(np.float32)
    whole_ml = float(tumour.sum(dtype=np.float64)) * case.grid.voxel_ml
    inside_ml = float(move_to_grid(tumour, case.grid, grid).sum(dtype=np.float64)) * grid.voxel_ml
    if inside_ml < MIN_INSIDE * whole_ml:
        raise GridError(
            f"The series of --dicom-reference shows only {inside_ml / whole_ml:.0%} of the tumour. Provide a "
            "series that covers the whole tumour."
        )


def _compute_correlation(volume: Volume, reference: Volume) -> float:
    """Return the correlation of a sequence with the reference, outside the sequence's background."""
    values = move_to_grid(volume.data, volume.grid, reference.grid)
    inside = move_to_grid(volume.foreground.astype(np.float32), volume.grid, reference.grid) > 0.99
    a, b = values[inside].astype(np.float64), reference.data[inside].astype(np.float64)
    if a.size < 100 or a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _compute_key(prediction: Prediction, findings: Findings, source: SourceSeries, output: DicomOutput) -> str:
    """Return a hash of model, inputs and settings, or a random one for de-identified results."""
    steps = prediction.case.preparation.steps if prediction.case.preparation is not None else ()
    document: dict[str, Any] = {
        "software": __version__,
        "model": prediction.model.document(),
        "trust": repr(findings.trust.regions) + str(findings.trust.advice),
        "warnings": findings.warnings,
        "run": [prediction.run.backend, prediction.run.precision, list(prediction.run.window), prediction.run.windows],
        "steps": [step.name for step in steps],
        "reference": source.instance_uids,
        "sequences": [modality.value for modality in sort_modalities(prediction.case.available)],
        "inputs": {
            modality.value: source_series.instance_uids for modality, source_series in sorted(output.inputs.items())
        },
    }
    if not output.inputs:
        document["voxels"] = _hash_maps(findings.labels, findings.entropy)
    if output.deidentify:
        document["once"] = secrets.token_hex(16)
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _hash_maps(*maps: npt.NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for item in maps:
        digest.update(np.ascontiguousarray(item).tobytes())
    return digest.hexdigest()
