"""Synthetic data and tiny networks for the classification tasks: seven-segment digits, tones, plain colours."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from scipy.io import wavfile
from torch import Tensor, nn

from brats_mm.experiments.food101.pretrained import TextExpert
from brats_mm.networks.gating_parts import ImageEncoder, PartsGate, TextEncoder
from brats_mm.networks.modality_mixture import ModalityMixture

SEGMENTS = ("abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg", "acdefg", "abc", "abcdefg", "abcdfg")
"""Which bars of a seven-segment display make each digit."""

BARS = {
    "a": (slice(4, 7), slice(9, 19)),
    "b": (slice(4, 14), slice(17, 20)),
    "c": (slice(14, 24), slice(17, 20)),
    "d": (slice(21, 24), slice(9, 19)),
    "e": (slice(14, 24), slice(8, 11)),
    "f": (slice(4, 14), slice(8, 11)),
    "g": (slice(12, 15), slice(9, 19)),
}


def drawn(digit: int, rng: np.random.Generator) -> np.ndarray:
    """Return a noisy, slightly shifted image of a digit, 28x28 values from 0 to 255."""
    picture = np.zeros((28, 28))
    for bar in SEGMENTS[digit]:
        picture[BARS[bar]] = 200
    picture = np.roll(picture, rng.integers(-2, 3, 2), axis=(0, 1))
    return np.clip(picture + rng.normal(0, 25, picture.shape), 0, 255)


def spectrogram(digit: int, rng: np.random.Generator, side: int) -> np.ndarray:
    """Return the spectrogram of a tone with two partials, higher for higher digits, with values from 0 to 255."""
    picture = rng.uniform(0, 60, (side, side))
    for partial in (1, 2):
        row = int((digit + 1) * partial * side / 24) % side
        picture[row, side // 8 :] += 160
    return np.clip(picture, 0, 255)


def write_avmnist_arrays(root: Path, *, train: int = 240, test: int = 60, side: int = 112) -> Path:
    """Write arrays of avMNIST in the layout of MultiBench."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        labels = np.arange(count) % 10
        for name in ("image", "audio"):
            (root / name).mkdir(parents=True, exist_ok=True)
        images = np.stack([drawn(digit, rng).reshape(784) for digit in labels])
        np.save(root / "image" / f"{split}_data.npy", images)
        sounds = np.stack([spectrogram(digit, rng, side) for digit in labels])
        np.save(root / "audio" / f"{split}_data.npy", sounds.astype(np.uint8))
        np.save(root / f"{split}_labels.npy", labels)
    return root


def write_avmnist_files(root: Path, *, each: int = 2) -> Path:
    """Write files of avMNIST in the layout of SMIL, with tones of half a second."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for digit in range(10):
            pictures, sounds = root / "mnist" / split / str(digit), root / "sound_450" / split / str(digit)
            pictures.mkdir(parents=True)
            sounds.mkdir(parents=True)
            for number in range(each):
                Image.fromarray(drawn(digit, rng).astype(np.uint8)).save(pictures / f"{number}.png")
                tone = np.sin(2 * np.pi * (300 + 150 * digit) * np.arange(4000) / 8000)
                wavfile.write(sounds / f"{digit}_theo_{number}.wav", 8000, (tone * 20000).astype(np.int16))
            wavfile.write(sounds / f"{digit}_without_picture.wav", 8000, np.zeros(4000, np.int16))
    return root


FOODS = ("apple_pie", "beet_salad", "churros")


def write_food101(root: Path, *, train: int = 60, test: int = 12) -> Path:
    """Write Food-101 with three classes of different colours and words, a missing image and an empty title."""
    rng = np.random.default_rng(0)
    (root / "texts").mkdir(parents=True)
    for split, count in (("train", train), ("test", test)):
        rows = []
        for number in range(count):
            food = number % len(FOODS)
            folder = root / "images" / split / FOODS[food]
            folder.mkdir(parents=True, exist_ok=True)
            name = f"{FOODS[food]}_{number}.jpg"
            colour = np.full((40, 60, 3), 40.0)
            colour[..., food] = 200
            if number != 4:
                Image.fromarray(np.clip(colour + rng.normal(0, 20, colour.shape), 0, 255).astype(np.uint8)).save(
                    folder / name
                )
            title = "" if number == 5 else f'The best {FOODS[food].replace("_", " ")}, "ever"'
            rows.append([name, title, FOODS[food]])
        with (root / "texts" / f"{split}_titles.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows(rows)
    return root


class LetterTokens:
    """Fake tokeniser that numbers letters instead of word pieces."""

    def __init__(self, length: int = 24) -> None:
        self.length = length

    def __call__(self, text: str) -> np.ndarray:
        result = [ord(letter) % 32 for letter in text.lower()[: self.length]]
        padding = [0] * (self.length - len(result))
        return np.array([result + padding, [1] * len(result) + padding])


class LetterEncoder(nn.Module):
    """Fake BERT with the same interface."""

    def __init__(self) -> None:
        super().__init__()
        self.words = TextEncoder(words=32, features=8)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        return SimpleNamespace(pooler_output=self.words(torch.stack([input_ids, attention_mask], dim=1)))


def tiny_food_expert(modality: str) -> nn.Module:
    """Return a small CNN instead of Inception, or a letter encoder instead of BERT."""
    if modality == "text":
        return TextExpert(LetterEncoder(), width=8, classes=len(FOODS))
    return nn.Sequential(ImageEncoder(channels=3), nn.Linear(128, len(FOODS)))


def tiny_food_mixture() -> ModalityMixture:
    """Return a mixture of both experts with an MLP gate."""
    branches = {"image": ImageEncoder(channels=3), "text": TextEncoder(words=32, features=4)}
    gate = PartsGate(branches, features=132, hidden=8)
    return ModalityMixture({name: tiny_food_expert(name) for name in branches}, gate)
