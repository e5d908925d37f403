"""On real cases: the backends agree with each other, and the default with MONAI's plain way."""

from contextlib import suppress

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from torch.nn import functional

from brats_mm.domain.availability import flags
from brats_mm.domain.regions import REGIONS
from brats_mm.errors import GridError
from brats_mm.inference.engine import BACKGROUND_LOGIT, WindowSettings, near_brain
from brats_mm.inference.predictor import restore_probabilities
from brats_mm.inference.prepare import prepare
from brats_mm.inference.windows import clip_window
from brats_mm.pipeline.segment import load_case
from brats_mm.pipeline.segmenter import Segmenter

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def cases(real_cases):
    """Those whose sequences share a grid; others are refused before any backend sees them."""
    found = []
    for folder in sorted(real_cases.iterdir()):
        with suppress(GridError):
            found += [load_case(folder)] if folder.is_dir() else []
    assert found
    return found


@pytest.fixture(scope="module")
def in_torch():
    return Segmenter.from_bundle(device="cpu", backend="torch")


@pytest.fixture(scope="module")
def in_openvino():
    pytest.importorskip("openvino")
    return Segmenter.from_bundle(device="cpu", backend="openvino")


def agreement(first, second):
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else 1.0


@torch.inference_mode()
def plain(case, predictor):
    """The network through MONAI's windows of 128^3, cut to the brain's box as ours are."""
    given = prepare(case, predictor.model.spacing_mm)
    side = clip_window((128, 128, 128), given.brain.shape)
    room = [max(0, wanted - have) for wanted, have in zip(side, given.brain.shape, strict=True)]
    image = functional.pad(given.image, [0, room[2], 0, room[1], 0, room[0]])[None]
    available = torch.tensor([flags(case.available)])
    logits = sliding_window_inference(
        image, side, 1, lambda window: predictor.network(window, available), overlap=0.5, mode="gaussian"
    )[0]
    x, y, z = given.brain.shape
    return restore_probabilities(
        logits[:, :x, :y, :z].masked_fill(~near_brain(given.brain), BACKGROUND_LOGIT), given.placement
    )


def test_backends_agree(cases, in_torch, in_openvino):
    bfloat16 = in_openvino.predictor.backend.precision == "bfloat16"
    for case in cases:
        one, other = in_torch.predict(case), in_openvino.predict(case)
        assert (one.run.backend, other.run.backend) == ("torch", "openvino")
        for region in REGIONS:
            # Channels without signal have next to no variance, and normalising them enlarges rounding: each backend
            # is about as far from double precision (mean logit 0.004 to 0.015) as from the other.
            assert agreement(one.mask(region), other.mask(region)) >= 0.99
            difference = np.abs(one.probabilities[region] - other.probabilities[region]).mean()
            assert difference < (0.01 if bfloat16 else 1e-4)


def test_the_default_agrees_with_the_plain_way(cases, in_torch, in_openvino):
    assert in_torch.predictor.settings == WindowSettings()
    for case in cases:
        expected = plain(case, in_torch.predictor)
        for segmenter in (in_torch, in_openvino):
            made = segmenter.predict(case).probabilities
            for region in REGIONS:
                assert agreement(made[region] >= 0.5, expected[region] >= 0.5) >= 0.99
