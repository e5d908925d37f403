"""Tumours of other cases are transplanted into healthy brain only, with matched intensities."""

import numpy as np
import pytest
import torch

from brats_mm.data.augment import build_random_windows
from brats_mm.data.transforms import CropCandidatesd
from brats_mm.data.transplant import RandTransplantTumourd, cut_tumour, feather, transplant_tumour
from brats_mm.errors import OptionError

SIDE = 48


def _case(name: str, low: int, *, level: float = 0.0, missing: tuple[int, ...] = ()) -> dict[str, object]:
    """Return a brain of normal values about `level` with a margin of background and a bright tumour cube at `low`."""
    draw = torch.Generator().manual_seed(low)
    image = torch.zeros(4, SIDE, SIDE, SIDE)
    brain = slice(4, SIDE - 4)
    image[:, brain, brain, brain] = level + 0.5 * torch.randn(4, *[SIDE - 8] * 3, generator=draw)
    label = torch.zeros(3, SIDE, SIDE, SIDE, dtype=torch.uint8)
    cube, core = slice(low, low + 8), slice(low + 2, low + 5)
    label[0, cube, 20:28, 20:28] = 1
    label[1:, core, 22:25, 22:25] = 1
    image[:, cube, 20:28, 20:28] += 4
    available = torch.ones(4, dtype=torch.bool)
    for channel in missing:
        image[channel] = 0
        available[channel] = False
    return CropCandidatesd()({"name": name, "image": image, "label": label, "available": available})


def _rng(seed: int = 0) -> np.random.RandomState:
    return np.random.RandomState(seed)


def test_adds_second_tumour_next_to_existing_one() -> None:
    case, donor = _case("a", 8), _case("b", 32)
    result = transplant_tumour(case, donor, _rng())

    before, after = case["label"], result["label"]
    assert int(after[0].sum()) == 2 * 8**3
    assert int(after[2].sum()) == 2 * 27
    assert bool((after >= before).all())
    new = (after[0] > 0) & (before[0] == 0)
    assert float(result["image"][3][new].mean()) == pytest.approx(4, abs=0.6)
    assert torch.equal(result["image"][:, before[0] > 0], case["image"][:, before[0] > 0])


def test_case_and_donor_are_unchanged() -> None:
    case, donor = _case("a", 8), _case("b", 32)
    kept = [
        {key: value.clone() for key, value in item.items() if isinstance(value, torch.Tensor)} for item in (case, donor)
    ]
    transplant_tumour(case, donor, _rng())

    for item, copy in zip((case, donor), kept, strict=True):
        assert all(torch.equal(item[key], copy[key]) for key in copy)


def test_intensities_match_new_surroundings() -> None:
    """The donor is brighter by 10 everywhere. Its tumour is still 4 above the new surroundings."""
    result = transplant_tumour(_case("a", 8), _case("b", 32, level=10), _rng())
    new = (result["label"][0] > 0) & (_case("a", 8)["label"][0] == 0)

    assert float(result["image"][0][new].mean()) == pytest.approx(4, abs=0.6)


def test_background_and_missing_sequences_stay_zero() -> None:
    case = _case("a", 8, missing=(1, 2))
    result = transplant_tumour(case, _case("b", 32), _rng())

    assert result["label"] is not case["label"]
    assert float(result["image"][1:3].abs().sum()) == 0
    assert torch.equal(result["image"][0] == 0, case["image"][0] == 0)


@pytest.mark.parametrize(
    "donor",
    [_case("a", 32), _case("b", 32, missing=(3,)), {**_case("b", 32), "label": torch.zeros(3, SIDE, SIDE, SIDE)}],
    ids=["the case itself", "lacks a sequence", "has no tumour"],
)
def test_unsuitable_donor_changes_nothing(donor: dict[str, object]) -> None:
    case = _case("a", 8)
    result = transplant_tumour(case, donor, _rng())

    assert result["image"] is case["image"]
    assert result["label"] is case["label"]


def test_tumour_without_room_is_skipped() -> None:
    """The case's own tumour fills the whole brain."""
    case = _case("a", 8)
    case["label"] = torch.ones(3, SIDE, SIDE, SIDE, dtype=torch.uint8)

    assert transplant_tumour(case, _case("b", 32), _rng())["label"] is case["label"]


def test_windows_may_be_centred_on_new_tumour() -> None:
    case = _case("a", 8)
    result = transplant_tumour(case, _case("b", 32), _rng())

    assert [len(kind) for kind in result["centres"][1:]] == [2 * 8**3, 2 * 27]
    assert bool((result["label"][0].flatten()[result["centres"][1]] > 0).all())


def test_border_is_soft_and_tumour_complete() -> None:
    tumour = torch.zeros(20, 20, 20, dtype=torch.bool)
    tumour[8:12, 8:12, 8:12] = True
    weight = feather(tumour)

    assert bool((weight[tumour] == 1).all())
    assert 0 < float(weight[5, 10, 10]) < 1
    assert float(weight[3, 10, 10]) == 0


def test_case_without_tumour_gives_no_donor() -> None:
    assert cut_tumour({**_case("b", 32), "label": torch.zeros(3, SIDE, SIDE, SIDE)}) is None


def test_same_seed_chooses_same_tumour() -> None:
    donors = [_case("b", 32), _case("c", 30)]
    results = []
    for _ in range(2):
        windows = build_random_windows((24, 24, 24), transplant_prob=1.0)
        windows.transforms[0].set_donors(donors)
        window = windows.set_random_state(seed=4)(_case("a", 8))
        results.append((window[0] if isinstance(window, list) else window)["image"])

    assert torch.equal(torch.as_tensor(results[0]), torch.as_tensor(results[1]))


def test_nothing_changes_without_donors_or_with_probability_zero() -> None:
    case = _case("a", 8)
    never = RandTransplantTumourd(0.0)
    never.set_donors([_case("b", 32)])

    assert RandTransplantTumourd(1.0)(case)["label"] is case["label"]
    assert never(case)["label"] is case["label"]


def test_paper_recipe_has_no_transplants_by_default() -> None:
    def count(**settings: object) -> int:
        chain = build_random_windows((24, 24, 24), **settings)  # type: ignore[arg-type]
        return sum(isinstance(step, RandTransplantTumourd) for step in chain.transforms)

    assert [count(preset="paper"), count(), count(transplant_prob=0), count(preset="paper", transplant_prob=0.3)] == [
        0,
        1,
        0,
        1,
    ]
    with pytest.raises(OptionError, match=r"transplant_prob is 1\.5\. It must be between 0 and 1"):
        build_random_windows((24, 24, 24), transplant_prob=1.5)
