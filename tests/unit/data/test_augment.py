"""Random windows have the requested size, repeat with the seed, and keep the background at zero."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import RandGaussianNoise, RandShiftIntensity

from brats_mm.data.augment import PRESETS, InsideBraind, build_random_windows
from brats_mm.data.transforms import CropCandidatesd
from brats_mm.errors import OptionError


def _item(side: int) -> dict[str, object]:
    """Return a cube of brain inside background with a small tumour in one corner. T2 is missing."""
    image = torch.zeros(4, side, side, side)
    inner = slice(3, side - 3)
    image[:, inner, inner, inner] = 1 + torch.rand(4, *[side - 6] * 3, generator=torch.Generator().manual_seed(0))
    image[2] = 0
    label = torch.zeros(3, side, side, side, dtype=torch.uint8)
    label[:, 4:8, 4:8, 4:8] = 1
    return CropCandidatesd()({"image": MetaTensor(image), "label": MetaTensor(label)})


def _only(result: object) -> dict[str, torch.Tensor]:
    return result[0] if isinstance(result, list) else result  # type: ignore[return-value]


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize("side", [20, 36], ids=["smaller than the window", "larger"])
def test_windows_have_requested_size_and_masks_stay_binary(preset: str, side: int) -> None:
    windows = build_random_windows((24, 24, 24), preset=preset).set_random_state(seed=0)
    for _ in range(6):
        window = _only(windows(_item(side)))
        assert window["image"].shape == (4, 24, 24, 24)
        assert window["label"].shape == (3, 24, 24, 24)
        assert set(torch.unique(torch.as_tensor(window["label"])).tolist()) <= {0, 1}
        assert window["image"][2].abs().sum() == 0
        assert torch.isfinite(window["image"]).all()


@pytest.mark.parametrize("preset", list(PRESETS))
def test_same_seed_gives_same_window(preset: str) -> None:
    first, second = (
        _only(build_random_windows((24, 24, 24), preset=preset).set_random_state(seed=7)(_item(36))) for _ in range(2)
    )
    assert torch.equal(torch.as_tensor(first["image"]), torch.as_tensor(second["image"]))
    assert torch.equal(torch.as_tensor(first["label"]), torch.as_tensor(second["label"]))


def test_small_data_windows_favour_tumour() -> None:
    """The tumour fills 64 of 46,656 voxels, but 70 % of the windows are centred on it."""
    windows = build_random_windows((16, 16, 16)).set_random_state(seed=2)
    with_tumour = sum(bool(_only(windows(_item(36)))["label"].any()) for _ in range(30))

    assert with_tumour >= 18


def test_strong_preset_changes_intensities_more() -> None:
    """Compares quantiles of grey values, so that flips and positions do not matter."""
    item, steps = _item(36), torch.linspace(0.05, 0.95, 10)

    def quantiles(image: torch.Tensor) -> torch.Tensor:
        return torch.quantile(image[image != 0].float(), steps)

    own = quantiles(torch.as_tensor(item["image"])[0])

    def distance(preset: str) -> float:
        windows = build_random_windows((24, 24, 24), preset=preset, transplant_prob=0).set_random_state(seed=3)
        drawn = [torch.as_tensor(_only(windows(item))["image"])[0] for _ in range(40)]
        return float(np.mean([float((quantiles(window) - own).abs().mean()) for window in drawn]))

    assert distance("strong") > 1.3 * distance("small_data") > 0


def test_intensities_change_only_inside_brain() -> None:
    item = _item(20)
    before = torch.as_tensor(item["image"])
    after = InsideBraind([RandGaussianNoise(prob=1.0, std=1.0)]).set_random_state(seed=1)(item)["image"]

    assert torch.equal(after == 0, before == 0)
    assert not torch.equal(after, before)


def test_each_sequence_is_changed_independently() -> None:
    item = {"image": torch.ones(2, 2, 2, 2)}
    after = InsideBraind([RandShiftIntensity(offsets=0.5, prob=1.0)]).set_random_state(seed=1)(item)["image"]

    assert float(after[0].std()) == pytest.approx(0, abs=1e-6)
    assert not np.isclose(float(after[0, 0, 0, 0]), float(after[1, 0, 0, 0]))


def test_unknown_preset_error_lists_choices() -> None:
    with pytest.raises(OptionError, match=r"'heavy'\. Choose one of paper, small_data"):
        build_random_windows((24, 24, 24), preset="heavy")
