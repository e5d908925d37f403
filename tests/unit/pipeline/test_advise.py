"""Advice on absent sequences, for a result or a subset."""

import json
import shutil

import pytest

from brats_mm.domain.modality import Modality
from brats_mm.errors import OptionError
from brats_mm.io.bundle import Bundle, verify_hash
from brats_mm.pipeline.advise import advise_result, advise_subset, parse_subset
from brats_mm.trust.fit import fit_profile
from brats_mm.trust.profile_file import TRUST_PROFILE, build_profile_document
from tests.fakes.trust_records import made_records

GAINS = {"t2": {"wt": {"from": 0.5, "to": 0.6}}}


@pytest.fixture
def bundle(tiny_bundle, tmp_path):
    result = Bundle(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    model = {"weights_sha256": verify_hash(result), "calibration": {}}
    (result.root / TRUST_PROFILE).write_text(json.dumps(build_profile_document(fit_profile(made_records()), model)))
    return result


def test_advice_for_subset_uses_bundle_scores(bundle):
    advised = advise_subset(parse_subset("flair+t1"), bundle)
    assert advised["sequences"] == "t1+flair"
    assert list(advised["expected_gains"]) == ["t1ce", "t2"]
    gain = advised["expected_gains"]["t1ce"]["et"]
    assert gain["to"] - gain["from"] == pytest.approx(0.3, abs=1e-3)
    assert advised["advice"].startswith("Adding T1ce would raise")


def test_no_advice_for_all_four_sequences(bundle):
    advised = advise_subset(frozenset(Modality), bundle)
    assert (advised["advice"], advised["expected_gains"]) == ("All four sequences are available.", {})


def test_advice_for_result_uses_its_report(tmp_path):
    trust = {"expected_gains": GAINS, "advice": "Adding T2 would help."}
    report = {"trust": trust, "sequences_found": ["t1"], "sequences_missing": ["t1ce", "t2", "flair"]}
    (tmp_path / "report.json").write_text(json.dumps(report))
    assert advise_result(tmp_path) == {"sequences": "t1", "advice": "Adding T2 would help.", "expected_gains": GAINS}


def test_rejects_reports_without_advice_and_unknown_sequences(tmp_path):
    with pytest.raises(OptionError, match=r"report\.json cannot be read \(No such file or directory\)"):
        advise_result(tmp_path)
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(OptionError, match="is not a report with advice"):
        advise_result(tmp_path)
    with pytest.raises(OptionError, match="neither a result folder nor a subset"):
        parse_subset("t1+t9")
