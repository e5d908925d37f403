"""List cases from folders of BraTS cases, Decathlon-style JSON lists, and files that name a split."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from brats_mm.data.checked_nifti import ITK_SUFFIXES
from brats_mm.data.decathlon import add_volumes
from brats_mm.data.image_list import assign_images, get_image_stem
from brats_mm.data.json_file import read_json
from brats_mm.data.label_maps import add_label_schemes
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.sequence_names import ImageName, read_image_names
from brats_mm.errors import CaseError, OptionError

Item = dict[str, Any]
"""A case: `name`, `image` (files by modality), and optionally `label` and `label_scheme` (see `domain.label_scheme`, by
default detected from the names and values of all cases). If all sequences are in one file, `volumes` maps each sequence
to its volume."""

logger = logging.getLogger(__name__)

MAX_SHOWN = 5
"""Maximum number of names in a message."""

SUFFIXES = (".nii.gz", ".nii")
"""NIfTI files. Files of `ITK_SUFFIXES` count in folders without any."""

SECTIONS = {"training": ("training", "train"), "validation": ("validation", "val"), "testing": ("testing", "test")}
"""Names of the sections of a list."""


def find_item(folder: Path) -> Item | None:
    """Return the case in a folder of image files with BraTS names. None if it has no sequence.

    Files are NIfTI, or MetaImage and NRRD if the folder has no NIfTI file.

    Raises:
        CaseError: two files match the same sequence, or both match the label map.
    """
    files = sorted(folder.iterdir())
    paths = [path for path in files if path.name.endswith(SUFFIXES)] or [path for path in files if _is_itk(path.name)]
    readings = read_image_names([ImageName(get_image_stem(path.name)) for path in paths], folder.name)
    images: dict[str, str] = {}
    for path, reading in zip(paths, readings, strict=True):
        if reading.modality is None:
            continue
        modality = reading.modality.value
        if modality in images:
            raise CaseError(
                f"{folder} has two files for {modality}: {Path(images[modality]).name} and {path.name}. Keep one."
            )
        images[modality] = str(path)
    labels = [str(path) for path, reading in zip(paths, readings, strict=True) if reading.is_label]
    if not images:
        return None
    if len(labels) > 1:
        raise CaseError(
            f"{folder} has several label maps: {', '.join(Path(label).name for label in labels)}. Keep one."
        )
    item: Item = {"name": folder.name, "image": images}
    return {**item, "label": labels[0]} if labels else item


def _is_itk(name: str) -> bool:
    """Return whether a file is an image in a format of ITK. A .seg.nrrd of 3D Slicer is not one label map."""
    return name.lower().endswith(ITK_SUFFIXES) and not name.lower().endswith(".seg.nrrd")


def find_items(dataset_dir: Path | str) -> list[Item]:
    """Return the cases of a folder with one subfolder per case, sorted by name.

    Raises:
        CaseError: there is no such folder, or no case in it.
    """
    root = Path(dataset_dir).expanduser()
    if not root.is_dir():
        raise CaseError(f"There is no folder {root}. Set --dataset_dir to a folder with one subfolder for each case.")
    items = [item for folder in sorted(root.iterdir()) if folder.is_dir() for item in [find_item(folder)] if item]
    if not items:
        raise CaseError(
            f"{root} contains no case. Each case needs a subfolder of NIfTI files named by sequence, such as "
            f"case-t1ce.nii.gz."
        )
    return items


def list_files(item: Item) -> list[str]:
    """Return the files of a case, each once, the label map last."""
    return list(dict.fromkeys([*item["image"].values(), *([item["label"]] if "label" in item else [])]))


def format_names(names: Sequence[str]) -> str:
    """Return the first of several names for a message."""
    return ", ".join(names[:MAX_SHOWN]) + (" and others" if len(names) > MAX_SHOWN else "")


def make_datalist(
    dataset_dir: Path | str, items: Sequence[Item], validation: Collection[str], *, testing: Collection[str] = ()
) -> dict[str, Any]:
    """List the cases of a folder in Decathlon style, with paths relative to the folder.

    Args:
        dataset_dir: folder that contains all files.
        items: the cases.
        validation: names of validation cases. Other cases with a label map are for training.
        testing: names of test cases. Cases without a label map are added to them.

    Raises:
        CaseError: a name is unknown.
    """
    root = Path(dataset_dir).expanduser()
    entries = [_make_relative(item, root) for item in items]
    labelled = [item for item in entries if "label" in item]
    _check_names([*validation, *testing], labelled, root)
    unlabelled = {item["name"] for item in entries} - {item["name"] for item in labelled}
    held_out_names = {*validation, *testing}
    return {
        "name": root.resolve().name,
        "modality": {str(modality.channel): modality.value for modality in MODALITIES},
        "training": [item for item in labelled if item["name"] not in held_out_names],
        "validation": [item for item in labelled if item["name"] in validation],
        "testing": [item for item in entries if item["name"] in testing or item["name"] in unlabelled],
    }


def load_training_items(
    dataset_dir: Path | str,
    datalist: Path | str,
    section: str,
    *,
    needs: Sequence[str] = (),
    label_scheme: str | None = None,
) -> list[Item]:
    """Return the labelled cases of one section of a list.

    Args:
        dataset_dir: folder that the list's paths and case names are relative to.
        datalist: JSON file with the sections `training` and `validation`. Entries are items (see `Item`) or names of
            case folders. `image` can also be a list of paths (see `image_list.assign_images`), or one
            four-dimensional file as in the Decathlon.
        section: `training` or `validation`.
        needs: modalities that a case must have. Other cases are skipped and logged.
        label_scheme: scheme of all label maps. None takes the scheme in the list, or else detects it from the names and
            values of all cases of `training` and `validation`.

    Raises:
        CaseError: the list, the section or a case is missing or unlabelled, or the label scheme cannot be detected.
        OptionError: the section or the label scheme is unknown.
    """
    root, path = Path(dataset_dir).expanduser(), Path(datalist).expanduser()
    items = [resolve_item(entry, root) for entry in read_section_entries(path, section)]
    unlabelled = [item["name"] for item in items if "label" not in item]
    if unlabelled:
        raise CaseError(
            f"Cases of the section {section} have no label map: {', '.join(unlabelled[:5])}. Label or remove them."
        )
    is_named = label_scheme is not None or all(item.get("label_scheme") for item in items)
    unlisted = [] if is_named else _load_other_labelled(path, root, section)
    items = add_label_schemes([*items, *unlisted], label_scheme)[: len(items)]
    usable = [item for item in items if all(item["image"].get(modality) for modality in needs)]
    left_out = [item["name"] for item in items if item not in usable]
    if left_out and usable:
        logger.warning(
            "%d of the %d cases for %s lack %s and are left out: %s.",
            *(len(left_out), len(items), section, ", ".join(needs), format_names(left_out)),
        )
    if not usable:
        raise CaseError(f"No case of the section {section} in {datalist} has {', '.join(needs) or 'any sequence'}.")
    return usable


def _load_other_labelled(path: Path, root: Path, section: str) -> list[Item]:
    """Return the labelled items of the other sections of the list, which help to detect the label scheme."""
    items: list[Item] = []
    for other_section in SECTIONS:
        with suppress(CaseError):
            entries = list(read_section_entries(path, other_section)) if other_section != section else []
            items += [item for item in (resolve_item(entry, root) for entry in entries) if "label" in item]
    return items


def load_inference_items(
    dataset_dir: Path | str, datalist: Path | str | None = None, *, section: str = "testing"
) -> list[Item]:
    """Return the cases for the bundle's inference.

    Args:
        dataset_dir: folder with one subfolder per case. Files are recognised when the case is read.
        datalist: a list as for `load_training_items`, with paths relative to `dataset_dir`. Labels are optional. None
            takes every subfolder.
        section: section of the list: `training`, `validation` or `testing`.

    Raises:
        CaseError: the folder is missing or has no subfolder, or the list cannot be used.
        OptionError: the section is unknown.
    """
    root = Path(dataset_dir).expanduser()
    if datalist is not None:
        return [resolve_item(entry, root) for entry in read_section_entries(Path(datalist).expanduser(), section)]
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    if not folders:
        raise CaseError(f"{root} has no case folders. Set --dataset_dir to a folder with one subfolder for each case.")
    return [{"name": folder.name, "image": str(folder)} for folder in folders]


def read_section_entries(path: Path, section: str) -> Iterator[Any]:
    """Return the raw entries of a section: items, or names of case folders.

    Raises:
        CaseError: the list cannot be read or does not have the section.
        OptionError: the section name is unknown.
    """
    content = read_json(path, CaseError, "Provide a JSON list of cases.")
    if section not in SECTIONS and section not in content:
        raise OptionError(f"The section is {section!r}. Choose one of {', '.join({**SECTIONS, **content})}.")
    for name in SECTIONS.get(section, (section,)):
        if content.get(name):
            yield from (add_volumes(entry, content, path) for entry in content[name])
            return
    if any(name in content for name in SECTIONS.get(section, (section,))):
        raise CaseError(f"The section {section} of {path} has no cases. Add cases, or choose another section.")
    raise CaseError(f"The list {path} has no section {section}. It has {', '.join(content) or 'no sections'}.")


def resolve_item(entry: Any, root: Path) -> Item:
    """Return an item with absolute paths from the name of a case or an entry of a list.

    Args:
        entry: name of a case folder, or an item.
        root: folder that relative paths start at.

    Raises:
        CaseError: the case does not exist, or its files are ambiguous.
    """
    if isinstance(entry, str):
        item = find_item(root / entry) if (root / entry).is_dir() else None
        if item is None:
            raise CaseError(f"The list names the case {entry}, which does not exist in {root}. Check --dataset_dir.")
        return item
    image = entry.get("image") if isinstance(entry, Mapping) else None
    if not isinstance(image, Mapping | list):
        raise CaseError(
            f"A case in the list has no images: {entry!r}. Name their files, such as "
            '"image": {"t1ce": "case_1/t1ce.nii.gz"}.'
        )
    paths = image if isinstance(image, Mapping) else assign_images(image)
    unknown = [name for name in paths if name not in {modality.value for modality in Modality}]
    if unknown:
        raise CaseError(
            f"A case in the list has sequences named {', '.join(unknown)}. Use the names t1, t1ce, t2, flair."
        )
    images = {name: str(root / path) for name, path in paths.items() if path}
    item = {"name": Path(next(iter(images.values()), "?")).parent.name, **entry, "image": images}
    return {**item, "label": str(root / entry["label"])} if entry.get("label") else item


def _make_relative(item: Item, root: Path) -> Item:
    images = {name: Path(path).relative_to(root).as_posix() for name, path in item["image"].items()}
    relative = {**item, "image": images}
    return {**relative, "label": Path(item["label"]).relative_to(root).as_posix()} if "label" in item else relative


def _check_names(names: Collection[str], items: Sequence[Item], root: Path) -> None:
    unknown = sorted(set(names) - {item["name"] for item in items})
    if unknown:
        raise CaseError(
            f"{root} has no labelled case {', '.join(unknown[:5])}, named for validation or testing. Check the names."
        )
