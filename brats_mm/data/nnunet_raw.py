"""Cases of a folder in nnU-Net's raw layout: imagesTr/CASE_0000.nii.gz, labelsTr/CASE.nii.gz, dataset.json."""

from collections.abc import Mapping
from pathlib import Path

from brats_mm.data.datalist import Item
from brats_mm.data.decathlon import DESCRIPTION, find_label_scheme, read_channels
from brats_mm.data.json_file import read_json
from brats_mm.domain.label_scheme import LabelScheme
from brats_mm.domain.modality import Modality
from brats_mm.errors import CaseError

IMAGES, LABELS, TEST_IMAGES = "imagesTr", "labelsTr", "imagesTs"


def is_nnunet_raw(root: Path) -> bool:
    """Return whether a folder has nnU-Net's raw layout."""
    return (root / IMAGES).is_dir() and (root / DESCRIPTION).is_file()


def find_nnunet_items(root: Path) -> list[Item]:
    """Return the cases of a raw folder, including those without a label map (imagesTs).

    `dataset.json` maps channels to sequences (`channel_names`, or `modality` up to version 1).

    Raises:
        CaseError: `dataset.json` cannot be read, names other sequences, or describes no known label scheme.
    """
    content = read_json(
        root / DESCRIPTION, CaseError, "Provide a folder in nnU-Net's raw layout, or one of BraTS cases."
    )
    scheme = find_label_scheme(content.get("labels") or {}, root / DESCRIPTION)
    channels = read_channels(content, root / DESCRIPTION)
    ending = content.get("file_ending", ".nii.gz")
    return [
        *_find_items((root / IMAGES, root / LABELS), channels, scheme, ending),
        *_find_items((root / TEST_IMAGES, root / "labelsTs"), channels, scheme, ending),
    ]


def _find_items(
    folders: tuple[Path, Path], channels: Mapping[str, Modality], scheme: LabelScheme, ending: str
) -> list[Item]:
    images, labels = folders
    cases: dict[str, dict[str, str]] = {}
    for path in sorted(images.glob(f"*{ending}")):
        name, _, number = path.name.removesuffix(ending).rpartition("_")
        channel = number.lstrip("0").zfill(1)
        if name and number.isdigit() and channel in channels:
            cases.setdefault(name, {})[channels[channel].value] = str(path)
    items: list[Item] = []
    for name, sequences in cases.items():
        label = labels / f"{name}{ending}"
        labelled = {"label": str(label), "label_scheme": scheme.value} if label.is_file() else {}
        items.append({"name": name, "image": sequences, **labelled})
    return items
