"""avMNIST is read in both layouts, on synthetic data."""

import numpy as np
import pytest
import torch

from brats_mm.errors import CaseError, InputError, OptionError
from brats_mm.experiments.avmnist.data import LoadDigitsd, list_avmnist_items
from brats_mm.experiments.avmnist.spoken_digits import build_mel_bands, compute_mfcc, read_mfcc
from tests.fakes.classification_data import write_avmnist_arrays, write_avmnist_files


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    return write_avmnist_arrays(tmp_path_factory.mktemp("arrays"), train=24, test=10)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_avmnist_files(tmp_path_factory.mktemp("files"))


def test_reads_multibench_arrays(arrays):
    """Every twelfth training sample is for validation. Spectrograms of 112x112 are reduced to 20x20."""
    parts = {section: list_avmnist_items(arrays, section) for section in ("training", "validation", "testing")}
    assert {section: len(result) for section, result in parts.items()} == {
        "training": 22,
        "validation": 2,
        "testing": 10,
    }
    names = {item["name"] for item in parts["training"]} | {item["name"] for item in parts["validation"]}
    assert len(names) == 24

    sample = LoadDigitsd()(parts["training"][3])
    raw = np.load(arrays / "image" / "train_data.npy")[3].reshape(1, 28, 28) / 255
    torch.testing.assert_close(sample["image"], torch.from_numpy(raw).float())
    sound = np.load(arrays / "audio" / "train_data.npy")[3].astype(np.float32) / 255
    assert sample["audio"].shape == (1, 20, 20)
    assert sample["audio"].mean().item() == pytest.approx(sound.mean(), abs=0.02)
    assert sample["label"].item() == 3
    assert sample["available"].tolist() == [True, True]


def test_smil_files_pair_images_and_sounds_of_a_digit(files):
    """Two images and three sounds of a digit give two pairs."""
    items = list_avmnist_items(files, "testing")
    assert len(items) == 20
    assert all(item["image"].parent.name == item["audio"].parent.name == str(item["label"]) for item in items)
    sample = LoadDigitsd()(items[-1])
    assert (sample["image"].shape, sample["audio"].shape) == ((1, 28, 28), (1, 20, 20))
    assert 0 <= sample["image"].min() <= sample["image"].max() <= 1
    assert sample["audio"].mean().item() == pytest.approx(0, abs=1e-4)


def test_rejects_folder_of_other_layout(tmp_path):
    with pytest.raises(CaseError, match=r"neither image/train_data\.npy .* nor mnist/train"):
        list_avmnist_items(tmp_path, "training")


def test_reports_missing_and_unequal_arrays(tmp_path):
    write_avmnist_arrays(tmp_path, train=10, test=10, side=20)
    (tmp_path / "test_labels.npy").unlink()
    with pytest.raises(CaseError, match=r"lacks .*test_labels\.npy"):
        list_avmnist_items(tmp_path, "testing")
    np.save(tmp_path / "train_labels.npy", np.arange(9))
    with pytest.raises(CaseError, match="10 images, 10 sounds and 9 labels"):
        list_avmnist_items(tmp_path, "training")


def test_reports_images_without_sounds(tmp_path):
    (tmp_path / "mnist" / "train").mkdir(parents=True)
    with pytest.raises(CaseError, match="lacks the sounds: sound_450/train"):
        list_avmnist_items(tmp_path, "training")
    (tmp_path / "sound" / "train").mkdir(parents=True)
    with pytest.raises(CaseError, match="no digit with both"):
        list_avmnist_items(tmp_path, "training")


def test_unknown_section_error_lists_choices(arrays):
    with pytest.raises(OptionError, match=r"'test'\. Choose one of training, validation, testing"):
        list_avmnist_items(arrays, "test")


def test_mel_bands_peak_at_one_and_cover_spectrum():
    bands = build_mel_bands(8000)
    assert bands.shape == (40, 257)
    assert bands.max() <= 1
    assert (np.diff(bands.argmax(axis=1)) >= 0).all()


def test_coefficients_depend_on_pitch_not_loudness():
    time = np.arange(4000) / 8000
    low, high = (np.sin(2 * np.pi * pitch * time).astype(np.float32) for pitch in (300, 1500))
    assert compute_mfcc(low, 8000).shape == (20, 20)
    assert np.abs(compute_mfcc(low, 8000) - compute_mfcc(high, 8000)).mean() > 0.1
    noise = np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float32)
    first, later = compute_mfcc(low + noise, 8000), compute_mfcc(low + noise, 8000)
    assert np.array_equal(first, later)


def test_sound_shorter_than_a_frame_gives_spectrogram():
    assert np.isfinite(compute_mfcc(np.ones(10, np.float32), 8000)).all()


def test_error_names_broken_recording(tmp_path):
    (tmp_path / "7_theo_0.wav").write_bytes(b"no sound")
    with pytest.raises(InputError, match=r"7_theo_0\.wav cannot be read as a WAV file"):
        read_mfcc(tmp_path / "7_theo_0.wav")
