"""An image in memory with a channel per sequence is read in the order of the bundle's metadata."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from brats_mm.domain.modality import Modality
from brats_mm.errors import CaseError
from brats_mm.io.memory import is_channel_image, split_channels
from brats_mm.pipeline.segment import load_case

AFFINE = np.diag([1.0, 2.0, 3.0, 1.0])


def image(*levels: float) -> MetaTensor:
    """Return channels of grey values from 1 to 2 times a level, in a frame of zeros."""
    grey = 1 + torch.rand(len(levels), 8, 8, 8, generator=torch.Generator().manual_seed(1))
    data = torch.nn.functional.pad(grey * torch.tensor(levels)[:, None, None, None], (1,) * 6)
    return MetaTensor(data, affine=torch.from_numpy(AFFINE))


def test_empty_channels_are_missing_sequences() -> None:
    case = load_case(image(1, 0, 3, float("nan")))
    assert case.available == {Modality.T1, Modality.T2}
    assert 3 < case.volumes[Modality.T2].data.max() < 6
    assert np.array_equal(case.grid.affine, AFFINE)


@pytest.mark.parametrize(("levels", "message"), [((1, 1, 1), r"shape \(3, 10, 10, 10\)"), ((0, 0, 0, 0), "are empty")])
def test_image_needs_four_channels_with_a_sequence(levels: tuple[float, ...], message: str) -> None:
    with pytest.raises(CaseError, match=message):
        split_channels(image(*levels))


def test_paths_mappings_and_volumes_are_no_channel_images() -> None:
    assert not any(is_channel_image(one) for one in ("case", {"t1": "a.nii.gz"}, image(1, 1, 1, 1)[0]))
