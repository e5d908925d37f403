"""Show which parts of a folder or zip `brats-mm segment` would use, from names and headers alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brats_mm.domain.atlas import warn_about_atlas
from brats_mm.domain.lattice import share_lattice
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.options import BidsFilter
from brats_mm.domain.volume import Grid
from brats_mm.errors import InputError
from brats_mm.io.case_files import is_four_dimensional
from brats_mm.io.dicom.choice import Choice, choose
from brats_mm.io.dicom.scan import Scan, Study, scan, select_study
from brats_mm.io.dicom.series import Series
from brats_mm.io.recognise import recognise
from brats_mm.io.volume import read_header
from brats_mm.pipeline.dicom_study import SeriesOverrides, find_study_warnings, has_one_grid
from brats_mm.pipeline.load import convert_access_errors, is_dicom_folder, open_input, reject_bids

DIGITS = 3


@convert_access_errors()
def inspect_input(path: Path, overrides: SeriesOverrides | None = None) -> dict[str, Any]:
    """Inspect a folder or zip of DICOM or NIfTI files.

    Args:
        path: folder or zip of one case.
        overrides: series or images selected by the user. None chooses automatically.

    Returns:
        Plain values: `kind`, the series or files, the choice with reasons, `geometry`, `problems` that would stop
            `segment`, and `ignored` files. Contains no patient names, numbers or dates, unless typed into a series
            description.

    Raises:
        InputError: the path contains nothing to inspect.
    """
    choices = overrides or SeriesOverrides()
    if is_four_dimensional(path):
        return _inspect_files(path, choices.bids)
    with open_input(path) as folder:
        if is_dicom_folder(folder):
            reject_bids(choices.bids)
            return _inspect_dicom(scan(folder), choices)
        return _inspect_files(folder, choices.bids)


def _inspect_dicom(scan: Scan, overrides: SeriesOverrides) -> dict[str, Any]:
    selected, problems = scan.studies, []
    try:
        study = select_study(scan, overrides.study)
    except InputError as error:
        problems.append(str(error))
    else:
        selected = scan.studies if overrides.study is None else (study,)
    studies = [_describe_study(study, overrides) for study in selected]
    return {
        "kind": "DICOM",
        "patients": scan.patients,
        "studies": studies,
        "notes": list(scan.warnings),
        "problems": problems + [problem for study in studies for problem in study.pop("problems")],
        "ignored": scan.describe_ignored(),
    }


def _describe_study(study: Study, overrides: SeriesOverrides) -> dict[str, Any]:
    choice = choose(study, overrides.series)
    ties = choice.ties or {}
    problems = [
        f"{modality.label} could be {' or '.join(series.title for series in equal)}. Select one, for example "
        f"--{modality.value} {equal[0].label}."
        for modality, equal in ties.items()
    ]
    if not choice.chosen and not ties:
        problems.append(
            "No series was recognised as T1, T1ce, T2 or FLAIR. Select the series, for example with --t1ce UID."
        )
    use = {id(series): modality for modality, series in choice.chosen.items()}
    return {
        "study": study.label,
        "series": [_describe_series(series, use.get(id(series)), choice) for series in study.series],
        "chosen": {modality.value: series.label for modality, series in choice.chosen.items()},
        "ambiguous": {modality.value: [series.label for series in equal] for modality, equal in ties.items()},
        "missing": [
            modality.value for modality in MODALITIES if modality not in choice.chosen and modality not in ties
        ],
        "geometry": _describe_geometry(
            {m: s.grid for m, s in choice.chosen.items() if s.grid}, agree=has_one_grid(choice)
        ),
        "notes": [*choice.notes, *find_study_warnings(choice)],
        "problems": problems,
    }


def _describe_series(series: Series, used_as: Modality | None, choice: Choice) -> dict[str, Any]:
    facts, verdict = series.facts, series.verdict
    why = choice.reasons[used_as] if used_as else choice.passed_over.get(series.label, "")
    return {
        "series": series.label,
        "number": series.identity.series_number,
        "description": facts.description,
        "used_as": used_as.value if used_as else None,
        "why": why,
        "kind": verdict.kind,
        "sequence": verdict.modality.value if verdict.modality else None,
        "confidence": round(verdict.confidence, 2),
        "evidence": list(verdict.evidence),
        "slices": facts.slices,
        "orientation": facts.orientation,
        "spacing_mm": [round(value, DIGITS) for value in facts.spacing_mm],
        "shape": list(series.grid.shape) if series.grid else None,
        "is_complete": series.is_complete,
        "remarks": list(series.remarks),
        "timing": {"te_ms": facts.echo_ms, "tr_ms": facts.repetition_ms, "ti_ms": facts.inversion_ms},
    }


def _inspect_files(folder: Path, selection: BidsFilter) -> dict[str, Any]:
    files = recognise(folder, selection=selection)
    grids: dict[Modality, Grid] = {}
    notes = list(files.notes)
    problems = []
    for modality, path in files.paths.items():
        try:
            grids[modality], warnings = read_header(Path(path))
        except InputError as error:  # noqa: PERF203 (all faults are reported at once)
            problems.append(str(error))
        else:
            notes += [f"{modality.label}: {warning}." for warning in warnings]
    agree = not grids or share_lattice(list(grids.values()))
    return {
        "kind": "volume files",
        "files": {modality.value: Path(path).name for modality, path in files.paths.items()},
        "missing": [modality.value for modality in MODALITIES if modality in files.missing],
        "geometry": _describe_geometry(grids, agree=agree),
        "notes": [*notes, *warn_about_atlas(grids)],
        "problems": problems,
        "ignored": dict(files.ignored),
    }


def _describe_geometry(grids: Mapping[Modality, Grid], *, agree: bool) -> dict[str, Any]:
    if not grids:
        note = "Nothing was chosen, so there is no geometry to compare."
    elif len(grids) == 1:
        note = "One sequence on one grid. Skull-stripping is detected when the voxels are read."
    elif agree:
        note = "All chosen sequences have the same grid. Skull-stripping is detected when the voxels are read."
    else:
        note = "The chosen sequences have different grids. They would be registered and resampled first (raw scans)."
    return {
        "one_grid": agree if grids else None,
        "note": note,
        "grids": {
            modality.value: {
                "shape": list(grid.shape),
                "spacing_mm": [round(value, DIGITS) for value in grid.spacing_mm],
            }
            for modality, grid in grids.items()
        },
    }
