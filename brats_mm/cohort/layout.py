"""Locations of a cohort's results."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from brats_mm.cohort.bids import describe_dataset, locate_bids_folder, make_bids_filename, make_bids_prefix
from brats_mm.cohort.records import Layout
from brats_mm.domain.regions import LabelConvention
from brats_mm.errors import OutputError
from brats_mm.outputs.folder import convert_output_errors

CASES = "cases"
LEDGER = "cohort.sqlite3"
_WORK = ".work"
_REPORT = "report.json"


def prepare_output(
    folder: Path, layout: Layout, labels: LabelConvention, manifest: Path | None = None, *, version: str
) -> None:
    """Create the folder of a cohort, or continue an earlier cohort. Rejects folders with other files.

    Args:
        folder: folder for all results.
        layout: layout of the results.
        labels: label convention, which a BIDS dataset describes.
        manifest: the manifest, which may be in the folder.
        version: software version, which a BIDS dataset records.

    Raises:
        OutputError: the folder holds other files or cannot be written to.
    """
    with convert_output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        manifest_path = None if manifest is None else manifest.resolve()
        if not (folder / LEDGER).exists() and any(path.resolve() != manifest_path for path in folder.iterdir()):
            raise OutputError(
                f"The folder {folder} contains files that do not belong to a cohort. Choose an empty folder."
            )
        if layout is Layout.BIDS:
            describe_dataset(folder, labels, version)


def prepare_work_folder(folder: Path, case: str, layout: Layout) -> Path:
    """Return the folder to which a worker writes a case. Removes incomplete results of an earlier worker.

    Args:
        folder: folder of the cohort.
        case: name of the case.
        layout: layout of the results.
    """
    target = folder / (CASES if layout is Layout.PLAIN else _WORK) / case
    if target.is_dir():
        for leftover in target.glob(".brats-mm-*"):
            shutil.rmtree(leftover, ignore_errors=True)
    return target


def publish(folder: Path, case: str, layout: Layout) -> Path:
    """Move the results of a case to their final location, and return it relative to the cohort's folder.

    Args:
        folder: folder of the cohort.
        case: name of the case.
        layout: layout of the results.

    Raises:
        OutputError: the results cannot be written.
    """
    if layout is Layout.PLAIN:
        return Path(CASES, case)
    target, work = folder / locate_bids_folder(case), folder / _WORK / case
    with convert_output_errors(target):
        target.mkdir(parents=True, exist_ok=True)
        # The report is moved last, so that its presence means complete results.
        for file in sorted((path for path in work.iterdir() if path.is_file()), key=lambda path: path.name == _REPORT):
            file.replace(target / make_bids_filename(case, file.name))
        shutil.rmtree(work)
    return locate_bids_folder(case)


def clear_work(folder: Path) -> None:
    """Remove partial files of stopped workers after a run."""
    shutil.rmtree(folder / _WORK, ignore_errors=True)


def measure_result_sizes(folder: Path, case: str, layout: Layout) -> dict[str, int]:
    """Return the size in bytes of each result file of a case, by path relative to the cohort's folder.

    Args:
        folder: folder of the cohort.
        case: name of the case.
        layout: layout of the results.
    """
    if layout is Layout.PLAIN:
        paths = [path for path in (folder / CASES / case).rglob("*") if not path.name.startswith(".")]
    else:
        paths = list((folder / locate_bids_folder(case)).glob(f"{make_bids_prefix(case)}_*"))
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(paths) if path.is_file()}


def find_lost_results(folder: Path, recorded: Mapping[str, int]) -> list[str]:
    """Return the recorded result files that are missing or have a different size."""
    return [name for name, size in recorded.items() if _read_size(folder / name) != size]


def _read_size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def has_results(folder: Path, case: str, layout: Layout) -> bool:
    """Return whether a case has a report that is not empty. The report is written last."""
    target = (
        Path(CASES, case, _REPORT)
        if layout is Layout.PLAIN
        else locate_bids_folder(case) / make_bids_filename(case, _REPORT)
    )
    return bool(_read_size(folder / target))
