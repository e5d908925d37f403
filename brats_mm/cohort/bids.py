"""BIDS datasets: cases of a raw dataset, and file names of results in a derivative dataset.

Label maps and probabilities are named as in BIDS derivatives. Other maps and pictures have custom suffixes, which
`.bidsignore` lists for validators.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from brats_mm.cohort.records import CohortCase
from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS
from brats_mm.domain.options import BidsFilter
from brats_mm.domain.regions import Compartment, LabelConvention
from brats_mm.errors import InputError
from brats_mm.io.bids import iterate_bids_sessions
from brats_mm.io.case_files import find_case

BIDS_VERSION = "1.10.0"
IGNORED = ("*_map.nii.gz", "*_bratsmm.*", "*_dseg.seg.nrrd", "cohort.sqlite3*", "results.*", "failures.csv", ".work/")
_README = f"""BraTS-MM tumour segmentations

Label maps, probabilities and maps of uncertainty and importance, written by `brats-mm cohort`, on the grids of the
cases' images. {NOT_FOR_DIAGNOSIS}
"""
_SIDECARS = {
    "desc-tumour_dseg.json": "Compartments of the brain tumour. desc-tumour_dseg.tsv names the values.",
    "mask.json": "Mask of a nested region: whole tumour (WT), tumour core (TC), enhancing tumour (ET).",
    "probseg.json": "Probability of a nested region: whole tumour (WT), tumour core (TC), enhancing tumour (ET).",
}
"""Sidecar files of the dataset that describe all images of a kind."""
_ENTITY = re.compile(r"^(sub-[A-Za-z0-9]+)(?:_(ses-[A-Za-z0-9]+))?$")
_MAP = re.compile(r"^(entropy|probability|importance|mask)(?:_(t1|t1ce|t2|flair))?(?:_(wt|tc|et))?\.nii\.gz$")


def iterate_bids_cases(folder: Path, selection: BidsFilter) -> Iterator[CohortCase]:
    """Yield a case per participant or session. Its sequences are in the `anat` folder."""
    for session in iterate_bids_sessions(folder, selection):
        if not selection.picks_images:
            yield CohortCase(session.name, folder=str(session.folder))
            continue
        try:
            files = find_case(session.folder, selection=selection).paths
        except InputError as fault:
            yield CohortCase(session.name, fault=str(fault))
        else:
            yield CohortCase(session.name, files=files)


def count_bids_cases(folder: Path, selection: BidsFilter) -> int:
    """Return the number of cases of `iterate_bids_cases`."""
    return sum(1 for _ in iterate_bids_sessions(folder, selection))


def make_bids_prefix(name: str) -> str:
    """Return the BIDS entities of a case: its name if it is a BIDS name, or else a subject derived from it.

    Different names give different results: if characters had to be removed, a hash of the name is appended.
    """
    if _ENTITY.match(name):
        return name
    label = re.sub(r"[^A-Za-z0-9]", "", name)
    return f"sub-{label}" if label == name else f"sub-{label}x{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def locate_bids_folder(name: str) -> Path:
    """Return the location of a case's results, relative to the dataset."""
    match = _ENTITY.match(make_bids_prefix(name))
    assert match is not None
    return Path(*(part for part in match.groups() if part), "anat")


def make_bids_filename(case: str, name: str) -> str:
    """Return the BIDS file name of the result `name` of a case."""
    prefix = make_bids_prefix(case)
    if name in ("segmentation.nii.gz", "segmentation.seg.nrrd"):
        return f"{prefix}_desc-tumour_dseg.{name.partition('.')[2]}"
    match = _MAP.match(name)
    if match is None:
        stem, _, suffix = name.partition(".")
        return f"{prefix}_desc-{re.sub('[^A-Za-z0-9]', '', stem)}_bratsmm.{suffix}"
    kind, modality, region = match.groups()
    label = "" if region is None else f"_label-{region.upper()}"
    if kind == "mask":
        return f"{prefix}{label}_mask.nii.gz"
    if kind == "probability":
        return f"{prefix}{label}_probseg.nii.gz"
    return f"{prefix}{label}_desc-{kind}{(modality or '').upper()}_map.nii.gz"


def describe_dataset(folder: Path, convention: LabelConvention, version: str) -> None:
    """Write the dataset description, the labels and `.bidsignore` of a derivative dataset.

    Keeps existing additions to the description, such as authors, and to the README.

    Args:
        folder: folder of the dataset.
        convention: label values to describe.
        version: version of the software.
    """
    described = {
        "Name": "BraTS-MM tumour segmentations",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "brats-mm", "Version": version}],
    }
    _write_json(folder / "dataset_description.json", {**_read_json(folder / "dataset_description.json"), **described})
    if not (folder / "README").exists():
        (folder / "README").write_text(_README, "utf-8")
    labels = {0: "background", **{convention.value_of(compartment): compartment.value for compartment in Compartment}}
    rows = "".join(f"{value}\t{name}\n" for value, name in sorted(labels.items()))
    (folder / "desc-tumour_dseg.tsv").write_text("index\tname\n" + rows, "utf-8")
    for name, description in _SIDECARS.items():
        _write_json(folder / name, {"Description": description, "SpatialReference": "orig"})
    (folder / ".bidsignore").write_text("\n".join(IGNORED) + "\n", "utf-8")


def _read_json(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _write_json(file: Path, content: Mapping[str, object]) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
