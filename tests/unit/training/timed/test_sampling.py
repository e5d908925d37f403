"""Relative frequency of training cases."""

from dataclasses import replace

import numpy as np
import pytest

from brats_mm.training.timed.crops import CropSettings
from brats_mm.training.timed.loop import CropStream, LoopSettings
from brats_mm.training.timed.packing import LITTLE_ENHANCEMENT_MM3, PackedCase
from brats_mm.training.timed.views import ViewSettings


def case(core: int, enhancing: int) -> PackedCase:
    labels = np.zeros(20_000, np.uint8)
    labels[:15_000] = 1
    labels[:core] = 2
    labels[:enhancing] = 3
    volume = labels.reshape(20, 20, 50)
    ones = np.ones(4, np.float32)
    return PackedCase("case", volume[None].repeat(4, 0), ones, ones, ones > 0, volume, (np.zeros(1, np.int32),) * 4)


@pytest.mark.parametrize(
    ("core", "enhancing", "little"),
    [
        (10_000, 0, True),
        (300, 300, True),
        (10_000, LITTLE_ENHANCEMENT_MM3, False),
        (0, 0, False),
    ],
)
def test_little_enhancement_needs_a_core_and_less_than_limit(core, enhancing, little):
    assert case(core, enhancing).has_little_enhancement is little


def test_boost_acts_on_views_with_t1ce_only():
    cases = [replace(case(10_000, 0), name="boosted"), replace(case(10_000, 9000), name="other")]
    settings = LoopSettings(1.0, views=ViewSettings(full_share=0.5, single_share=0.5), enhancement_boost=3.0)
    stream = CropStream(cases, [1.0, 1.0], CropSettings(), settings, seed=0)
    rng = np.random.default_rng(0)
    drawn = [stream._draw_view(rng) for _ in range(4000)]
    shares = {
        shown: np.mean([found.name == "boosted" for found, view in drawn if bool(view[1]) == shown])
        for shown in (False, True)
    }
    assert shares[False] == pytest.approx(0.5, abs=0.04)
    assert shares[True] == pytest.approx(0.75, abs=0.03)
