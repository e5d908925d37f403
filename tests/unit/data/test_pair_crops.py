"""The two views of a pair share one window or have separate windows."""

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, RandSpatialCropd

from brats_mm.data.augment import build_random_windows
from brats_mm.data.pair_crops import TwoWindowsd, build_pair_windows
from brats_mm.data.transforms import CropCandidatesd
from brats_mm.errors import OptionError


def _windows() -> Compose:
    return Compose([RandSpatialCropd(("image", "label"), [4, 4, 4], random_size=False)])


def _case() -> dict[str, torch.Tensor]:
    numbered = torch.arange(8**3, dtype=torch.float32).reshape(1, 8, 8, 8)
    return {"image": numbered, "label": numbered.repeat(3, 1, 1, 1)}


def test_same_crop_returns_the_chain() -> None:
    windows = _windows()
    assert build_pair_windows(windows) is windows


def test_independent_crops_differ_and_have_matching_labels() -> None:
    result = build_pair_windows(_windows(), crops="independent")
    assert isinstance(result, TwoWindowsd)
    item = result.set_random_state(seed=1)(_case())

    assert not torch.equal(item["image"], item["image_fewer"])
    assert torch.equal(item["image_fewer"][0], item["label_fewer"][2])
    assert torch.equal(item["image"][0], item["label"][2])


def test_independent_crops_repeat_with_seed() -> None:
    first, second = (TwoWindowsd(_windows()).set_random_state(seed=3)(_case()) for _ in range(2))
    assert torch.equal(first["image_fewer"], second["image_fewer"])


@pytest.mark.parametrize("preset", ["paper", "small_data"])
def test_preset_chains_give_two_windows(preset: str) -> None:
    label = torch.zeros(3, 16, 16, 16)
    label[:, 4:9, 4:9, 4:9] = 1
    image = torch.rand(4, 16, 16, 16, generator=torch.Generator().manual_seed(0)) + 0.1
    case = CropCandidatesd()({"image": MetaTensor(image), "label": MetaTensor(label), "name": "one"})
    windows = build_random_windows([8, 8, 8], preset=preset, transplant_prob=0.0)

    item = TwoWindowsd(windows).set_random_state(seed=1)(case)

    assert item["image"].shape == item["image_fewer"].shape == (4, 8, 8, 8)
    assert item["label_fewer"].shape == (3, 8, 8, 8)
    assert not torch.equal(torch.as_tensor(item["image"]), torch.as_tensor(item["image_fewer"]))


def test_rejects_other_crops() -> None:
    with pytest.raises(OptionError, match=r"'other'\. Choose one of same, independent"):
        build_pair_windows(_windows(), crops="other")


def test_several_pairs_have_no_independent_crops() -> None:
    with pytest.raises(OptionError, match=r"--pairs is 3. Use --pairs 1 or --crops same"):
        build_pair_windows(_windows(), crops="independent", pairs=3)
