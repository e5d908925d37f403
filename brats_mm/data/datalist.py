"""Which cases there are: folders of BraTS cases, Decathlon-style JSON lists, and files that name a split."""

import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from brats_mm.data.decathlon import with_volumes
from brats_mm.data.label_maps import with_schemes
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.sequence_names import ImageName, read_image_names
from brats_mm.errors import CaseError, OptionError

Item = dict[str, Any]
"""A case: `name`; `image`, a mapping from modality name to file; where there is one, `label`; where it is known,
`label_scheme` (see `domain.label_scheme`), which is otherwise decided by the names and values of all cases. Where all
sequences are in one file, `volumes` says which of its volumes is which."""

logger = logging.getLogger(__name__)

SHOWN = 5
"""So many names stand in a message."""

SUFFIXES = (".nii.gz", ".nii")

SECTIONS = {"training": ("training", "train"), "validation": ("validation", "val"), "testing": ("testing", "test")}
"""Names that lists give to their sections."""


def find_item(folder: Path) -> Item | None:
    """The case in a folder of NIfTI files named as BraTS names them; None when it holds no sequence.

    Raises:
        CaseError: two files claim to be the same sequence, or two to be the label map.
    """
    paths = [path for path in sorted(folder.iterdir()) if path.name.endswith(SUFFIXES)]
    readings = read_image_names([ImageName(path.name.split(".nii")[0]) for path in paths], folder.name)
    images: dict[str, str] = {}
    for path, reading in zip(paths, readings, strict=True):
        if reading.modality is None:
            continue
        modality = reading.modality.value
        if modality in images:
            message = f"{folder} has two files for {modality}: {Path(images[modality]).name} and {path.name}. Keep one."
            raise CaseError(message)
        images[modality] = str(path)
    labels = [str(path) for path, reading in zip(paths, readings, strict=True) if reading.is_label]
    if not images:
        return None
    if len(labels) > 1:
        message = f"{folder} has several label maps: {', '.join(Path(label).name for label in labels)}. Keep one."
        raise CaseError(message)
    item: Item = {"name": folder.name, "image": images}
    return {**item, "label": labels[0]} if labels else item


def find_items(dataset_dir: Path | str) -> list[Item]:
    """The cases of a folder with one sub-folder a case, by name.

    Raises:
        CaseError: there is no such folder, or no case in it.
    """
    root = Path(dataset_dir).expanduser()
    if not root.is_dir():
        message = f"There is no folder {root}. Give --dataset_dir a folder with one sub-folder for each case."
        raise CaseError(message)
    items = [item for folder in sorted(root.iterdir()) if folder.is_dir() for item in [find_item(folder)] if item]
    if not items:
        message = (
            f"{root} holds no case: each needs a sub-folder with NIfTI files whose names say which sequence they are, "
            f"such as case-t1ce.nii.gz."
        )
        raise CaseError(message)
    return items


def make_datalist(
    dataset_dir: Path | str,
    validation: Collection[str],
    *,
    testing: Collection[str] = (),
    items: Sequence[Item] | None = None,
) -> dict[str, Any]:
    """A Decathlon-style list of a folder's cases, paths relative to the folder; write it with `json.dump`.

    Args:
        dataset_dir: folder with one sub-folder a case.
        validation: names of the cases to validate on; the others with a label map are for training.
        testing: names of cases to leave for testing; cases without a label map are left for it too.
        items: the cases, where they were found in another way.

    Raises:
        CaseError: there is no case, or a name is of none.
    """
    root = Path(dataset_dir).expanduser()
    found = [_relative(item, root) for item in (find_items(root) if items is None else items)]
    labelled = [item for item in found if "label" in item]
    _refuse_unknown([*validation, *testing], labelled, root)
    unlabelled = {item["name"] for item in found} - {item["name"] for item in labelled}
    taken = {*validation, *testing}
    return {
        "name": root.resolve().name,
        "modality": {str(modality.channel): modality.value for modality in MODALITIES},
        "training": [item for item in labelled if item["name"] not in taken],
        "validation": [item for item in labelled if item["name"] in validation],
        "testing": [item for item in found if item["name"] in testing or item["name"] in unlabelled],
    }


def training_items(
    dataset_dir: Path | str,
    datalist: Path | str,
    section: str,
    *,
    needs: Sequence[str] = (),
    label_scheme: str | None = None,
) -> list[Item]:
    """The labelled cases of one section of a list.

    Args:
        dataset_dir: where the list's relative paths and case names are looked up.
        datalist: JSON with the sections `training` and `validation`; their entries are items (see `Item`; `image` may
            also be a list of four paths in channel order, null for a missing sequence, or one four-dimensional file as
            the Decathlon has it), or names of case folders.
        section: `training` or `validation`.
        needs: modalities without which a case is left out, with a line in the log.
        label_scheme: of all label maps; None takes what the list states, else decides by the names and values of all
            cases of `training` and `validation`.

    Raises:
        CaseError: the list, a section or a case in it is absent or unlabelled, or the label scheme cannot be told.
        OptionError: there is no such section name or label scheme.
    """
    root, path = Path(dataset_dir).expanduser(), Path(datalist).expanduser()
    items = [resolved_item(entry, root) for entry in section_entries(path, section)]
    unlabelled = [item["name"] for item in items if "label" not in item]
    if unlabelled:
        message = (
            f"Cases of the section {section} have no label map: {', '.join(unlabelled[:5])}. Label or remove them."
        )
        raise CaseError(message)
    told = label_scheme is not None or all(item.get("label_scheme") for item in items)
    others = [] if told else _other_labelled(path, root, section)
    items = with_schemes([*items, *others], label_scheme)[: len(items)]
    usable = [item for item in items if all(item["image"].get(modality) for modality in needs)]
    left_out = [item["name"] for item in items if item not in usable]
    if left_out and usable:
        shown = ", ".join(left_out[:SHOWN]) + (" and others" if len(left_out) > SHOWN else "")
        logger.warning(
            "%d of the %d cases for %s lack %s and are left out: %s.",
            *(len(left_out), len(items), section, ", ".join(needs), shown),
        )
    if not usable:
        message = f"No case of the section {section} in {datalist} has {', '.join(needs) or 'any sequence'}."
        raise CaseError(message)
    return usable


def _other_labelled(path: Path, root: Path, section: str) -> list[Item]:
    """The labelled items of the list's other sections, which help to tell the label scheme."""
    found: list[Item] = []
    for other in SECTIONS:
        with suppress(CaseError):
            entries = list(section_entries(path, other)) if other != section else []
            found += [item for item in (resolved_item(entry, root) for entry in entries) if "label" in item]
    return found


def inference_items(
    dataset_dir: Path | str, datalist: Path | str | None = None, *, section: str = "testing"
) -> list[Item]:
    """What the bundle's inference walks over.

    Args:
        dataset_dir: folder with one sub-folder a case; which file is which sequence is told when the case is read.
        datalist: a list as for `training_items`, whose paths and names are looked up in `dataset_dir`; labels are not
            needed. None takes every sub-folder.
        section: the list's section: `training`, `validation` or `testing`.

    Raises:
        CaseError: the folder is absent or has no sub-folder, or the list cannot be used.
        OptionError: there is no such section name.
    """
    root = Path(dataset_dir).expanduser()
    if datalist is not None:
        return [resolved_item(entry, root) for entry in section_entries(Path(datalist).expanduser(), section)]
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    if not folders:
        message = f"{root} has no case folders. Give --dataset_dir a folder with one sub-folder for each case."
        raise CaseError(message)
    return [{"name": folder.name, "image": str(folder)} for folder in folders]


def section_entries(path: Path, section: str) -> Iterator[Any]:
    """The entries of a section as the list has them: items, or names of case folders.

    Raises:
        CaseError: the list cannot be read, or has no such section.
        OptionError: there is no such section name.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"The list of cases {path} cannot be read ({error}). Give --datalist a JSON file."
        raise CaseError(message) from error
    if section not in SECTIONS and section not in content:
        message = f"The section is {section!r}. Choose one of {', '.join({**SECTIONS, **content})}."
        raise OptionError(message)
    for name in SECTIONS.get(section, (section,)):
        if content.get(name):
            yield from (with_volumes(entry, content, path) for entry in content[name])
            return
    message = f"The list of cases {path} has no section {section}; it has {', '.join(content) or 'nothing'}."
    raise CaseError(message)


def resolved_item(entry: str | Mapping[str, Any], root: Path) -> Item:
    """An item with absolute paths, from a case's name or from a list's entry.

    Raises:
        CaseError: there is no such case, or its files cannot be told apart.
    """
    if isinstance(entry, str):
        item = find_item(root / entry) if (root / entry).is_dir() else None
        if item is None:
            message = f"The list names the case {entry}, which {root} does not hold. Check --dataset_dir."
            raise CaseError(message)
        return item
    image = entry["image"]
    named = image if isinstance(image, Mapping) else dict(zip([m.value for m in MODALITIES], image, strict=True))
    unknown = [name for name in named if name not in {modality.value for modality in Modality}]
    if unknown:
        message = f"A case of the list has sequences named {', '.join(unknown)}; name them t1, t1ce, t2, flair."
        raise CaseError(message)
    images = {name: str(root / path) for name, path in named.items() if path}
    item = {"name": Path(next(iter(images.values()), "?")).parent.name, **entry, "image": images}
    return {**item, "label": str(root / entry["label"])} if entry.get("label") else item


def _relative(item: Item, root: Path) -> Item:
    images = {name: Path(path).relative_to(root).as_posix() for name, path in item["image"].items()}
    made = {**item, "image": images}
    return {**made, "label": Path(item["label"]).relative_to(root).as_posix()} if "label" in item else made


def _refuse_unknown(names: Collection[str], items: Sequence[Item], root: Path) -> None:
    unknown = sorted(set(names) - {item["name"] for item in items})
    if unknown:
        message = (
            f"{root} has no labelled case {', '.join(unknown[:5])}, named for validation or testing. Check the names."
        )
        raise CaseError(message)
