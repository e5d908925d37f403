"""Bundles of two sites that train together."""

import pytest

from brats_mm.io.bundle import Bundle
from brats_mm.learning.site_bundle import write_site_bundle
from tests.fakes.training_sites import SMALL, plan_of


@pytest.fixture
def sites(tiny_bundle, tmp_path):
    """Bundles of two sites, with two synthetic heads each."""
    return [
        write_site_bundle(
            plan_of(tmp_path / f"cases-{name}", seed),
            tmp_path / f"cases-{name}",
            Bundle(tiny_bundle),
            tmp_path / name,
            {**SMALL, "spacing_mm": 2.0},
        )
        for name, seed in (("a", 3), ("b", 5))
    ]
