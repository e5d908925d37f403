"""avMNIST: written digits (1x28x28) and spoken digits (1x20x20), in either of two layouts.

* Arrays (MultiBench and successors): `image/train_data.npy` (n, 784) and `audio/train_data.npy` (n, s, s) with values
from 0 to 255, `train_labels.npy` (n,), and the same with `test`. Spectrograms of other sides than 20 (MultiBench has
112) are downsampled by averaging.
* Files (SMIL): `mnist/train/<digit>/*.png` and `sound_450/train/<digit>/*.wav` (or `sound/`), and the same with `test`.
The k-th image of a digit is paired with its k-th sound, in order of names.

Data is not downloaded.
"""

from collections.abc import Hashable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import Transform
from PIL import Image

from brats_mm.domain.volume import Array
from brats_mm.errors import CaseError, check_choice
from brats_mm.experiments.avmnist.spoken_digits import read_mfcc

SECTIONS = {"training": "train", "validation": "train", "testing": "test"}
VALIDATION_SHARE = 1 / 12
"""Interval of validation samples in the training data. MultiBench takes the last 5000 of 60000."""

IMAGE_SIDE, AUDIO_SIDE = 28, 20
SOUND_FOLDERS = ("sound_450", "sound")

Item = dict[str, Any]
"""`image` and `audio` (an array or a file), `label` (the digit), `name`, and `available` (one flag per modality)."""


def list_avmnist_items(dataset_dir: Path | str, section: str) -> list[Item]:
    """Return the samples of a section. Every twelfth training sample is for validation.

    Raises:
        OptionError: the section is unknown.
        CaseError: the folder has neither layout, or its parts do not match.
    """
    check_choice("The section", section, SECTIONS)
    root, split = Path(dataset_dir), SECTIONS[section]
    if (root / "image" / f"{split}_data.npy").is_file():
        items = _list_from_arrays(root, split)
    elif (root / "mnist" / split).is_dir():
        items = _list_from_files(root, split)
    else:
        raise CaseError(
            f"{root} is not an avMNIST folder: it has neither image/{split}_data.npy (with "
            f"audio/{split}_data.npy and {split}_labels.npy) nor mnist/{split} (with {SOUND_FOLDERS[0]}/{split}). "
            "Provide the avMNIST folder with --dataset_dir."
        )
    if split == "test":
        return items
    every = round(1 / VALIDATION_SHARE)
    return [item for index, item in enumerate(items) if (index % every == every - 1) == (section == "validation")]


class LoadDigitsd(Transform):
    """Load arrays and files as tensors: `image` (1, 28, 28), `audio` (1, 20, 20), `label` and `available`."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        return {
            **data,
            "image": _resize_to_square(_read_picture(data["image"]), IMAGE_SIDE),
            "audio": _resize_to_square(_read_sound(data["audio"]), AUDIO_SIDE),
            "label": torch.tensor(data["label"]),
            "available": torch.tensor(data["available"]),
        }


def _list_from_arrays(root: Path, split: str) -> list[Item]:
    paths = [root / "image" / f"{split}_data.npy", root / "audio" / f"{split}_data.npy", root / f"{split}_labels.npy"]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise CaseError(f"The avMNIST folder {root} lacks {', '.join(missing)}. Copy the missing files there.")
    images, audio, labels = (np.load(path, mmap_mode="r") for path in paths)
    if not len(images) == len(audio) == len(labels):
        raise CaseError(
            f"The avMNIST folder {root} has {len(images)} images, {len(audio)} sounds and {len(labels)} labels for "
            f"{split}. The numbers must be equal. Restore all files from the same source."
        )
    return [
        {"image": images[row], "audio": audio[row], "label": int(labels[row]), "name": f"{split}_{row}", **_BOTH}
        for row in range(len(labels))
    ]


def _list_from_files(root: Path, split: str) -> list[Item]:
    sounds = next((root / name for name in SOUND_FOLDERS if (root / name / split).is_dir()), None)
    if sounds is None:
        raise CaseError(f"The avMNIST folder {root} lacks the sounds: {SOUND_FOLDERS[0]}/{split}. Copy that folder.")
    items = []
    for digit in range(10):
        pictures = sorted(
            chain.from_iterable((root / "mnist" / split / str(digit)).glob(f"*.{ending}") for ending in ("png", "jpg"))
        )
        for picture, sound in zip(pictures, sorted((sounds / split / str(digit)).glob("*.wav")), strict=False):
            items.append({"image": picture, "audio": sound, "label": digit, "name": picture.stem, **_BOTH})
    if not items:
        raise CaseError(
            f"The avMNIST folder {root} has no digit with both images and sounds for {split}. Check its subfolders."
        )
    return items


_BOTH = {"available": (True, True)}


def _read_picture(source: Any) -> Array:
    values = np.asarray(Image.open(source).convert("L")) if isinstance(source, Path) else np.asarray(source)
    side = round(values.size**0.5)
    return values.reshape(side, side).astype(np.float32) / np.float32(255)


def _read_sound(source: Any) -> Array:
    return read_mfcc(source) if isinstance(source, Path) else np.asarray(source, dtype=np.float32) / np.float32(255)


def _resize_to_square(values: Array, side: int) -> torch.Tensor:
    tensor = torch.from_numpy(values)[None]
    return tensor if tensor.shape[1:] == (side, side) else F.adaptive_avg_pool2d(tensor, side)
