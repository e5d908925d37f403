"""UPMC Food-101 is read in its public layout, on synthetic data."""

import builtins
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from brats_mm.errors import BundleError, CaseError, OptionError, VolumeError
from brats_mm.experiments.food101.bert_tokens import BertTokens
from brats_mm.experiments.food101.data import LoadFoodd, RandMirrord, list_food101_items, read_picture
from tests.fakes.classification_data import FOODS, LetterTokens, write_food101


@pytest.fixture
def food(tmp_path):
    return write_food101(tmp_path / "food", train=40, test=6)


def test_lists_give_classes_titles_and_missing_modalities(food):
    """Every twentieth sample is for validation. The fifth has no image, the sixth no title."""
    training = list_food101_items(food, "training")
    assert (len(training), len(list_food101_items(food, "validation"))) == (38, 2)
    assert training[0]["text"] == 'The best apple pie, "ever"', "a title with a comma and quotes"
    assert [item["label"] for item in training[:4]] == [0, 1, 2, 0]
    assert [training[at]["available"] for at in (3, 4, 5)] == [(True, True), (False, True), (True, False)]


def test_images_may_be_in_one_folder_for_both_parts(food):
    for split in ("train", "test"):
        for folder in (food / "images" / split).iterdir():
            target = food / "images" / folder.name
            target.mkdir(exist_ok=True)
            for picture in folder.iterdir():
                picture.rename(target / picture.name)
    assert list_food101_items(food, "testing")[0]["image"].parent == food / "images" / FOODS[0]


def test_samples_become_tensors_with_zeros_for_missing_modalities(food):
    training = list_food101_items(food, "training")
    load = LoadFoodd(LetterTokens(length=12), side=32)
    whole, without_picture, without_title = (load(training[at]) for at in (0, 4, 5))
    assert (whole["image"].shape, whole["text"].shape, whole["text"].dtype) == ((3, 32, 32), (2, 12), torch.int64)
    assert whole["image"][0].mean() > whole["image"][1].mean(), "the first class is red"
    assert (without_picture["image"] == 0).all()
    assert without_title["text"][1].sum() == 0
    assert without_title["available"].tolist() == [True, False]


def test_image_is_centre_cropped_and_normalised_like_imagenet(tmp_path):
    """Grey of 124 is (124 / 255 - 0.485) / 0.229 in red. The white margins are cropped."""
    picture = np.full((10, 30, 3), 255, np.uint8)
    picture[:, 8:22] = 124
    Image.fromarray(picture).save(tmp_path / "grey.png")
    values = read_picture(tmp_path / "grey.png", 10)
    torch.testing.assert_close(values[0], torch.full((10, 10), (124 / 255 - 0.485) / 0.229))


def test_flip_is_left_to_right(food):
    image = torch.arange(6.0).reshape(1, 2, 3)
    seen = {
        tuple(RandMirrord().set_random_state(seed=seed)({"image": image})["image"].flatten().tolist())
        for seed in range(20)
    }
    assert seen == {(0, 1, 2, 3, 4, 5), (2, 1, 0, 5, 4, 3)}


def test_reports_missing_lists_and_images(food, tmp_path):
    with pytest.raises(CaseError, match=r"train_titles\.csv cannot be read .* Set --dataset_dir"):
        list_food101_items(tmp_path, "training")
    (food / "images").rename(tmp_path / "elsewhere")
    with pytest.raises(CaseError, match="None of the images"):
        list_food101_items(food, "testing")


def test_reports_short_rows_and_unknown_classes(food):
    listed = food / "texts" / "test_titles.csv"
    listed.write_text("a.jpg,A title,waffles\n")
    with pytest.raises(CaseError, match="class 'waffles', which is missing in train_titles"):
        list_food101_items(food, "testing")
    listed.write_text("a.jpg,apple_pie\n")
    with pytest.raises(CaseError, match=r"Row 1 of .* needs a name, a title and a class"):
        list_food101_items(food, "testing")


def test_error_names_broken_image(tmp_path):
    (tmp_path / "dish.jpg").write_bytes(b"no picture")
    with pytest.raises(VolumeError, match=r"dish\.jpg cannot be read as an image"):
        read_picture(tmp_path / "dish.jpg", 8)


def test_unknown_section_error_lists_choices(food):
    with pytest.raises(OptionError, match="Choose one of training, validation, testing"):
        list_food101_items(food, "train")


def test_missing_transformers_error_names_package(tmp_path, monkeypatch):
    forbid(monkeypatch, "transformers")
    with pytest.raises(OptionError, match=r'pip install "brats-mm\[food101\]"'):
        BertTokens(tmp_path)


def test_titles_become_word_pieces_of_fixed_length(tmp_path):
    pytest.importorskip("transformers")
    arguments = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "apple", "pie", "##s"]
    (tmp_path / "vocab.txt").write_text("\n".join(arguments))
    result = BertTokens(tmp_path, length=6)("Apple pies")
    assert result.tolist() == [[2, 5, 6, 7, 3, 0], [1, 1, 1, 1, 1, 0]]
    with pytest.raises(BundleError, match=r"no vocab\.txt"):
        BertTokens(tmp_path / "absent")


def forbid(monkeypatch, library):
    """Make a library unavailable."""
    ordinary = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.split(".")[0] == library:
            raise ImportError(f"No module named {library!r}")
        return ordinary(name, *args, **kwargs)

    for name in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", refuse)
