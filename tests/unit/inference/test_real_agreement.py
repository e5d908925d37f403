"""On real cases, the backends agree with each other, and the default agrees with a plain loop over windows."""

from contextlib import suppress

import numpy as np
import pytest
import torch
from monai.data.utils import compute_importance_map
from torch.nn import functional

from brats_mm.domain.availability import sort_modalities, to_flags
from brats_mm.domain.regions import REGIONS
from brats_mm.errors import GridError
from brats_mm.inference.coarse_to_fine import (
    COARSE_MULTIPLE,
    LATTICE,
    compute_fade,
    compute_nearness,
    find_suspicious_box,
    find_suspicious_voxels,
    place_fine_windows,
)
from brats_mm.inference.engine import BACKGROUND_LOGIT, WindowSettings, find_near_brain
from brats_mm.inference.predictor import restore_probabilities
from brats_mm.inference.prepare import prepare
from brats_mm.inference.small_lesions import drop_small_lesions
from brats_mm.inference.windows import STRIDE, clip_window
from brats_mm.networks.case_gate import make_thumbnail
from brats_mm.pipeline.segment import load_case
from brats_mm.pipeline.segmenter import Segmenter

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def cases(real_cases):
    """Cases whose sequences share a grid. Others are rejected before a backend runs."""
    result = []
    for folder in sorted(real_cases.iterdir()):
        with suppress(GridError):
            result += [load_case(folder)] if folder.is_dir() else []
    assert result
    return result


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
    """Predict with the mixture in PyTorch alone: experts on the whole box, the cross-sequence expert near suspicious
    voxels.
    """
    given = prepare(case, predictor.model.spacing_mm)
    network, shape = predictor.network, given.brain.shape
    side = clip_window((256, 256, 256), shape, COARSE_MULTIPLE, LATTICE * STRIDE)
    room = [requested - have for requested, have in zip(side, shape, strict=True)]
    image = functional.pad(given.image, [0, room[2], 0, room[1], 0, room[0]])
    available = torch.tensor([to_flags(case.available)])
    weights = network.compute_thumbnail_weights(make_thumbnail(given.image[None]), available)[0]
    logits = torch.zeros(3, *shape)
    for modality in sort_modalities(case.available):
        channel = modality.channel
        share = weights[channel] / weights[:4].sum(dim=0)
        actual = network.experts[modality.value](image[None, channel : channel + 1])[0]
        logits += share[:, None, None, None] * actual[:, : shape[0], : shape[1], : shape[2]]
    suspicious = find_suspicious_voxels(logits, given.brain)
    box = find_suspicious_box(suspicious)
    if box is not None and len(case.available) > 1:
        sides = tuple(slice(*ends) for ends in box)
        inside = (slice(None), *sides)
        part = given.image[inside]
        share = weights[-1][:, None, None, None] * compute_fade(box, shape) * compute_nearness(suspicious[sides])
        windows = place_fine_windows((share > 0).any(dim=0))
        padded = functional.pad(part, windows.padding)
        importance = compute_importance_map(windows.importance.shape, mode="gaussian", device="cpu")
        total, coverage = torch.zeros(3, *padded.shape[1:]), torch.zeros(padded.shape[1:])
        for position in windows.positions:
            total[(slice(None), *position)] += (
                importance * network.cross(padded[(slice(None), *position)][None], available)[0]
            )
            coverage[position] += importance
        joint = (total / coverage.clamp(min=1e-12))[:, : part.shape[1], : part.shape[2], : part.shape[3]]
        logits[inside] = (1 - share) * logits[inside] + share * joint
    logits = logits.masked_fill(~find_near_brain(given.brain), BACKGROUND_LOGIT)
    return restore_probabilities(drop_small_lesions(logits, predictor.model.spacing_mm**3 / 1000), given.placement)


def test_backends_agree(cases, in_torch, in_openvino):
    bfloat16 = in_openvino.predictor.backend.precision == "bfloat16"
    for case in cases:
        one, other = in_torch.predict(case), in_openvino.predict(case)
        assert (one.run.backend, other.run.backend) == ("torch", "openvino")
        for region in REGIONS:
            # Channels without signal have almost no variance, and normalising them amplifies rounding. Each backend
            # is about as far from double precision (mean logit 0.004 to 0.015) as from the other.
            assert agreement(one.mask(region), other.mask(region)) >= 0.99
            difference = np.abs(one.probabilities[region] - other.probabilities[region]).mean()
            assert difference < (0.01 if bfloat16 else 1e-4)


def test_default_agrees_with_plain_loop(cases, in_torch, in_openvino):
    assert in_torch.predictor.settings == WindowSettings()
    for case in cases:
        expected = plain(case, in_torch.predictor)
        for segmenter in (in_torch, in_openvino):
            actual = segmenter.predict(case).probabilities
            for region in REGIONS:
                assert agreement(actual[region] >= 0.5, expected[region] >= 0.5) >= 0.99
