"""Write lists of the cases of a folder for training, validation and testing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brats_mm.data.datalist import SECTIONS as SECTION_KEYS
from brats_mm.data.datalist import Item, find_item, find_items, make_datalist, read_section_entries, resolve_item
from brats_mm.data.decathlon import DESCRIPTION, is_decathlon
from brats_mm.data.label_maps import add_label_schemes
from brats_mm.data.nnunet_raw import find_nnunet_items, is_nnunet_raw
from brats_mm.data.split import (
    choose_validation_folds,
    choose_validation_share,
    is_nnunet_splits,
    read_names,
    read_nnunet_splits,
)
from brats_mm.data.training_gaps import add_gaps
from brats_mm.domain.modality import Modality
from brats_mm.errors import CaseError, OptionError, OutputError
from brats_mm.outputs.folder import convert_output_errors

SECTIONS = ("training", "validation", "testing")


@dataclass(frozen=True)
class Division:
    """Division of cases into sections. At most one of the three options may be set.

    Attributes:
        validation: names of cases, or a fraction of the patients between 0 and 1.
        folds: number of lists for cross-validation. 0 makes one list.
        files: published lists of names (see `data.split.read_names`) for training, validation and optionally testing,
            or nnU-Net's `splits_final.json`, which makes one list per fold.
        seed: seed of the random split or folds.
    """

    validation: tuple[str, ...] = ()
    folds: int = 0
    files: tuple[Path, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class WrittenList:
    """A written list of cases.

    Attributes:
        path: JSON file.
        counts: number of cases by section.
        schemes: label schemes of the cases.
        training_sequences: number of training cases by sequence.
    """

    path: Path
    counts: dict[str, int]
    schemes: tuple[str, ...] = ()
    training_sequences: dict[str, int] = field(default_factory=dict)


def write_datalists(
    dataset: Path,
    output: Path,
    division: Division | None = None,
    *,
    label_scheme: str | None = None,
    kept_shares: Mapping[Modality, float | int] | None = None,
    overwrite: bool = False,
) -> tuple[WrittenList, ...]:
    """Write a Decathlon-style list of a folder's cases. With folds, write one per fold, `<name>_fold0.json` and so on.

    Args:
        dataset: folder of BraTS cases with one subfolder each (optionally below `HGG` and `LGG`), or a folder in
            nnU-Net's raw layout or the Decathlon's. The list's paths are relative to it.
        output: the JSON file.
        division: by default, a fifth of the patients is for validation.
        label_scheme: scheme of all cases, see `domain.label_scheme`. None detects it from their names and values.
        kept_shares: leave out a sequence of all but this fraction of the training cases (see `data.training_gaps`). The
            seed of the division chooses the cases.
        overwrite: replace existing lists.

    Raises:
        CaseError: there is no case, a name is unknown, no case is left for training, or the label scheme cannot be
            detected.
        OptionError: the division or a fraction is contradictory or impossible.
        OutputError: a list already exists or cannot be written.
    """
    root = dataset.expanduser()
    items = add_label_schemes(_collect_items(root), label_scheme)
    division = division or Division()
    lists = _make_lists(root, items, division)
    for content in lists if kept_shares else ():
        content["training"] = add_gaps(content["training"], kept_shares or {}, seed=division.seed)
    folded = len(lists) > 1 or _has_nnunet_splits(division)
    paths = [output.with_name(f"{output.stem}_fold{fold}.json") if folded else output for fold in range(len(lists))]
    existing = [path for path in paths if path.exists() and not overwrite]
    if existing:
        raise OutputError(f"{existing[0]} already exists. Provide another name, or add --overwrite to replace it.")
    schemes = tuple(dict.fromkeys(item["label_scheme"] for item in items if item.get("label_scheme")))
    return tuple(_write(path, content, schemes) for path, content in zip(paths, lists, strict=True))


def _write(path: Path, content: dict[str, Any], schemes: tuple[str, ...] = ()) -> WrittenList:
    with convert_output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    counts = {section: len(content[section]) for section in SECTIONS if section in content}
    images = [item["image"] for item in content["training"] if isinstance(item, dict)]
    sequences = {modality.value: sum(modality.value in image for image in images) for modality in Modality}
    return WrittenList(path, counts, schemes, sequences)


def write_fold_lists(datalist: Path, output: Path) -> tuple[WrittenList, ...]:
    """Write a list per fold from a list whose training entries have the key `fold`, as written by Auto3DSeg.

    Args:
        datalist: JSON list. Its paths are unchanged.
        output: JSON file. The lists are `<name>_fold0.json` and so on. Existing lists are replaced.

    Returns:
        The written lists, in the order of the fold numbers.

    Raises:
        CaseError: the list cannot be read, an entry has no fold, or all have the same one.
        OutputError: a list cannot be written.
    """
    entries = list(read_section_entries(datalist, "training"))
    numbers = [entry.get("fold") if isinstance(entry, dict) else None for entry in entries]
    folds = sorted({number for number in numbers if isinstance(number, int)})
    missing = sum(not isinstance(number, int) for number in numbers)
    if missing or len(folds) < 2:
        problem = f"{missing} of its {len(entries)} training cases have no fold" if missing else "it has only one fold"
        raise CaseError(
            f"{datalist} cannot be used for cross-validation: {problem}. Number the folds from 0 with the key fold."
        )
    written = []
    for fold in folds:
        sections: dict[str, list[Any]] = {"training": [], "validation": []}
        for entry, number in zip(entries, numbers, strict=True):
            sections["validation" if number == fold else "training"].append(entry)
        written.append(_write(output.with_name(f"{output.stem}_fold{fold}.json"), sections))
    return tuple(written)


def write_fold_list(datalist: Path, output: Path, fold: int) -> Path:
    """Write the lists of `write_fold_lists`, and return the list that validates on a fold.

    Args:
        datalist: JSON list whose training entries have the key `fold`.
        output: JSON file. The lists are `<name>_fold0.json` and so on.
        fold: fold to validate on.

    Raises:
        CaseError: see `write_fold_lists`.
        OptionError: no training entry has the fold.
        OutputError: a list cannot be written.
    """
    paths = [written.path for written in write_fold_lists(datalist, output)]
    target = output.with_name(f"{output.stem}_fold{fold}.json")
    if target not in paths:
        folds = ", ".join(path.stem.rpartition("fold")[2] for path in paths)
        raise OptionError(f"{datalist} has no fold {fold}. Available folds: {folds}.")
    return target


def _collect_items(root: Path) -> list[Item]:
    if is_decathlon(root):
        return _read_decathlon_items(root)
    if is_nnunet_raw(root):
        return find_nnunet_items(root)
    grades = [folder for folder in sorted(root.iterdir()) if folder.is_dir()] if root.is_dir() else []
    nested = [
        item
        for grade in grades
        if find_item(grade) is None
        for folder in sorted(grade.iterdir())
        if folder.is_dir() and (item := find_item(folder))
    ]
    if not nested:
        return find_items(root)
    return [item for grade in grades if (item := find_item(grade))] + nested


def _read_decathlon_items(root: Path) -> list[Item]:
    content = json.loads((root / DESCRIPTION).read_text(encoding="utf-8"))
    sections = [name for name in ("training", "testing") if any(content.get(key) for key in SECTION_KEYS[name])]
    return [
        resolve_item(entry, root) for section in sections for entry in read_section_entries(root / DESCRIPTION, section)
    ]


def _make_lists(root: Path, items: list[Item], division: Division) -> list[dict[str, Any]]:
    names = [item["name"] for item in items if "label" in item]
    if sum(map(bool, (division.validation, division.folds, division.files))) > 1:
        raise OptionError("--validation, --folds and --split are mutually exclusive. Set at most one of them.")
    if _has_nnunet_splits(division):
        return [
            make_datalist(root, [item for item in items if item["name"] in training | validation], validation)
            for training, validation in read_nnunet_splits(division.files[0], names)
        ]
    if division.files:
        return [_from_files(root, items, names, division.files)]
    if division.folds:
        folds = choose_validation_folds(names, division.folds, seed=division.seed)
    else:
        folds = (_choose_validation(names, division.validation or ("0.2",), division.seed),)
    lists = [make_datalist(root, items, fold) for fold in folds]
    if not all(content["training"] for content in lists):
        raise CaseError(f"No labelled case of {root} is left for training. Select fewer cases for validation.")
    return lists


def _has_nnunet_splits(division: Division) -> bool:
    return len(division.files) == 1 and is_nnunet_splits(division.files[0])


def _choose_validation(names: list[str], groups: tuple[str, ...], seed: int) -> frozenset[str]:
    try:
        share = float(groups[0]) if len(groups) == 1 and groups[0] not in names else None
    except ValueError:
        share = None
    return frozenset(groups) if share is None else choose_validation_share(names, share, seed=seed)


def _from_files(root: Path, items: list[Item], names: list[str], files: tuple[Path, ...]) -> dict[str, Any]:
    sets = [part for path in files for part in read_names(path, names)]
    if len(sets) not in (2, 3):
        raise OptionError(
            "--split needs two or three lists of names, for training, validation and testing: a file for each, or one "
            f"file with a bracketed line for each. {len(sets)} were given. nnU-Net's folds end in .json."
        )
    training, validation, testing = (*sets, frozenset[str]())[:3]
    duplicates = sorted((training & validation) | (training & testing) | (validation & testing))
    if duplicates:
        raise CaseError(f"The lists contain {', '.join(duplicates[:5])} more than once. Put each case into one list.")
    listed = training | validation | testing
    selected = [item for item in items if item["name"] in listed]
    return make_datalist(root, selected, validation, testing=testing)
