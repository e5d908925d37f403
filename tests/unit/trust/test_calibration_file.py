"""Calibration files of bundles round-trip and belong to their weights."""

import json

import pytest

from brats_mm.domain.availability import SUBSETS
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.subset_calibration import IDENTITY, Correction, SubsetCalibration
from brats_mm.errors import BundleError
from brats_mm.io.bundle import Bundle
from brats_mm.trust.calibration_file import (
    SUBSET_CALIBRATION,
    build_subset_calibration_document,
    read_subset_calibration,
)

FITTED = SubsetCalibration(7, {SUBSETS[2]: {region: Correction(0.5 * region.channel, 1.25, 2.5) for region in REGIONS}})


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "models").mkdir()
    return Bundle(tmp_path)


def write(bundle, document):
    (bundle.root / SUBSET_CALIBRATION).write_text(json.dumps(document))


def test_calibration_round_trips(bundle):
    write(bundle, build_subset_calibration_document(FITTED, "abc"))
    assert read_subset_calibration(bundle, "abc") == FITTED


def test_subset_without_fit_is_unchanged():
    assert FITTED.find_correction(SUBSETS[0], Region.WT) == IDENTITY
    assert FITTED.find_correction(SUBSETS[2], Region.TC) == Correction(0.5 * Region.TC.channel, 1.25, 2.5)


def test_missing_foreground_temperatures_are_one(bundle):
    document = build_subset_calibration_document(FITTED, "abc")
    for row in document["subsets"].values():
        for numbers in row.values():
            del numbers["foreground_temperature"]
    write(bundle, document)
    assert read_subset_calibration(bundle, "abc").find_correction(SUBSETS[2], Region.TC) == Correction(
        0.5 * Region.TC.channel, 1.25
    )


def test_bundle_without_file_has_no_calibration(bundle):
    assert read_subset_calibration(bundle, "abc") is None


def test_rejects_calibration_of_other_weights(bundle):
    write(bundle, build_subset_calibration_document(FITTED, "abc"))
    with pytest.raises(BundleError, match="fitted to other weights"):
        read_subset_calibration(bundle, "def")


@pytest.mark.parametrize("damage", ["subsets", "temperature", "foreground_temperature"])
def test_rejects_damaged_calibration(bundle, damage):
    document = build_subset_calibration_document(FITTED, "abc")
    if damage == "subsets":
        del document["subsets"]
    else:
        next(iter(document["subsets"].values()))["wt"][damage] = 0
    write(bundle, document)
    with pytest.raises(BundleError, match="cannot be read"):
        read_subset_calibration(bundle, "abc")
