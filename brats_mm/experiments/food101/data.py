"""UPMC Food-101: images of dishes (3x299x299) and the titles of their web pages.

Layout: `images/train/<class>/<name>.jpg` and `images/test/...` (or `images/<class>/<name>.jpg` for both), and
`texts/train_titles.csv`, `texts/test_titles.csv` without a header: image name, title, class. Classes are numbered by
name in the training list. A missing image or an empty title counts as a missing modality.

Data is not downloaded.
"""

import csv
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from monai.transforms import RandomizableTransform, Transform
from PIL import Image
from torch import Tensor

from brats_mm.errors import CaseError, VolumeError, check_choice, extract_first_line

SECTIONS = {"training": "train", "validation": "train", "testing": "test"}
VALIDATION_EVERY = 20
"""Every twentieth training sample is for validation. Food-101 has no validation section, and the paper's is unknown."""

SIDE = 299
MEAN, DEVIATION = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
"""Mean and standard deviation of ImageNet's red, green and blue."""

Item = dict[str, Any]
"""`image` (a file or None), `text` (a title), `label` (class number), `name`, and `available` (flag per modality)."""

Tokenise = Callable[[str], Any]
"""Function from a string to (2, t) integers: token numbers and mask."""


def list_food101_items(dataset_dir: Path | str, section: str) -> list[Item]:
    """Return the samples of a section that have an image or a title.

    Raises:
        OptionError: the section is unknown.
        CaseError: a list is missing or invalid, or has a class that the training section lacks.
    """
    check_choice("The section", section, SECTIONS)
    root, split = Path(dataset_dir), SECTIONS[section]
    classes = {name: number for number, name in enumerate(read_food101_classes(root))}
    items: list[Item] = []
    for name, title, food in _read_rows(root / "texts" / f"{split}_titles.csv"):
        if food not in classes:
            raise CaseError(
                f"texts/{split}_titles.csv in {root} has the class {food!r}, which is missing in train_titles.csv."
            )
        picture = _find_picture_file(root, split, food, name)
        available = (picture is not None, bool(title.strip()))
        if any(available):
            items.append(
                {"image": picture, "text": title, "label": classes[food], "name": name, "available": available}
            )
    if not any(item["available"][0] for item in items):
        raise CaseError(f"None of the images in texts/{split}_titles.csv is in {root / 'images'}. Unpack them there.")
    if split == "test":
        return items
    held_out = VALIDATION_EVERY - 1
    return [
        item for index, item in enumerate(items) if (index % VALIDATION_EVERY == held_out) == (section == "validation")
    ]


def read_food101_classes(root: Path) -> list[str]:
    """Return the sorted class names of the training list."""
    return sorted({food for _, _, food in _read_rows(root / "texts" / "train_titles.csv")})


class LoadFoodd(Transform):
    """Load files and titles as tensors: `image` (3, s, s), `text` (2, t), `label`, `available`. Zeros if missing.

    Args:
        tokenise: function from a title to (2, t) integers, such as `bert_tokens.BertTokens`.
        side: s. The shorter side of an image is resized to it, and the centre is cropped.
    """

    def __init__(self, tokenise: Tokenise, *, side: int = SIDE) -> None:
        self.tokenise = tokenise
        self.side = side

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        flags = data["available"]
        image = read_picture(data["image"], self.side) if flags[0] else torch.zeros(3, self.side, self.side)
        return {
            **data,
            "image": image,
            "text": torch.as_tensor(np.asarray(self.tokenise(data["text"] if flags[1] else ""))).long(),
            "label": torch.tensor(data["label"]),
            "available": torch.tensor(flags),
        }


class RandMirrord(RandomizableTransform):
    """Flip the image from left to right with probability 0.5."""

    def __init__(self) -> None:
        super().__init__(prob=0.5)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        self.randomize(None)
        return {**data, "image": data["image"].flip(-1)} if self._do_transform else dict(data)


def read_picture(path: Path, side: int) -> Float[Tensor, "rgb h w"]:
    """Return the centre of an image as (3, side, side), normalised as for ImageNet.

    Raises:
        VolumeError: the file is not a readable image.
    """
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except OSError as error:
        raise VolumeError(
            f"{path} cannot be read as an image ({extract_first_line(error)}). Replace it, or remove it from the list."
        ) from error
    scale = side / min(picture.size)
    width, height = (max(side, round(length * scale)) for length in picture.size)
    left, top = (width - side) // 2, (height - side) // 2
    middle = picture.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + side, top + side))
    values = (np.asarray(middle, dtype=np.float32) / 255 - MEAN) / DEVIATION
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1), dtype=np.float32))


def _read_rows(path: Path) -> list[tuple[str, str, str]]:
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except OSError as error:
        raise CaseError(
            f"{path} cannot be read ({extract_first_line(error)}). Set --dataset_dir to the UPMC Food-101 folder with "
            "images and texts."
        ) from error
    short = next((number for number, row in enumerate(rows, start=1) if len(row) < 3), None)
    if short is not None:
        raise CaseError(f"Row {short} of {path} needs a name, a title and a class. Restore the file.")
    return [(row[0], ",".join(row[1:-1]), row[-1].strip()) for row in rows]


def _find_picture_file(root: Path, split: str, food: str, name: str) -> Path | None:
    candidates = (root / "images" / split / food / name, root / "images" / food / name)
    return next((candidate for candidate in candidates if candidate.is_file()), None)
