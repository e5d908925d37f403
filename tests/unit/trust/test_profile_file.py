"""Trust profiles stored in bundles."""

import json

import pytest

from brats_mm.errors import BundleError
from brats_mm.io.bundle import Bundle
from brats_mm.trust.fit import fit_profile
from brats_mm.trust.profile_file import TRUST_PROFILE, build_profile_document, parse_profile, read_trust_profile
from tests.fakes.trust_records import made_records

MODEL = {"weights_sha256": "a" * 64, "calibration": {"t1": {"wt": {"inside": 2.0}}}}


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / TRUST_PROFILE
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(build_profile_document(fit_profile(made_records()), MODEL)))
    return Bundle(tmp_path)


def test_profile_round_trips(bundle):
    document = build_profile_document(fit_profile(made_records()), MODEL)
    assert read_trust_profile(bundle, MODEL) == parse_profile(document)
    assert build_profile_document(parse_profile(document), MODEL) == document


def test_ignores_profile_of_other_weights_or_temperatures(bundle):
    assert read_trust_profile(bundle, {**MODEL, "weights_sha256": "b" * 64}) is None
    assert read_trust_profile(bundle, {**MODEL, "calibration": {}}) is None


def test_bundle_without_file_has_no_profile(tmp_path):
    assert read_trust_profile(Bundle(tmp_path), MODEL) is None


def test_rejects_damaged_profile(bundle):
    (bundle.root / TRUST_PROFILE).write_text("{}")
    with pytest.raises(BundleError, match="brats-mm bundle trust-profile"):
        read_trust_profile(bundle, MODEL)
