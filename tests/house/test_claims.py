"""docs/claims.md matches its sources, its commands exist, and all figures are of the shipped weights."""

import datetime
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from brats_mm.cli.parser import make_parser

ROOT = Path(__file__).resolve().parents[2]


def load_writer():
    spec = importlib.util.spec_from_file_location("write_claims", ROOT / "docs" / "tools" / "write_claims.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WRITER = load_writer()
CLAIMS = [claim for topic in WRITER.topics() for claim in topic["claims"]]


def test_page_matches_its_sources():
    written = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    assert written == WRITER.render(), "run python docs/tools/write_claims.py"


def test_accuracy_matches_model_card():
    """The README states the same figures."""
    figures = WRITER.card_figures()
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    whole, core, enhancing = (figures["all"][region] for region in ("wt", "tc", "et"))
    assert f"{whole} % for whole tumour, {core} % for tumour core and {enhancing} % for enhancing tumour" in readme
    whole, core, enhancing = (figures["mean"][region] for region in ("wt", "tc", "et"))
    assert f"{whole}, {core} and {enhancing} %" in readme


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim["claim"][:40])
def test_claim_has_existing_command_and_date(claim):
    arguments = [word for word in shlex.split(claim["command"]) if not re.match(r"BRATS_MM_\w+=", word)]
    if arguments[0] == "brats-mm":
        assert make_parser().parse_args(arguments[1:]).command
    for word in arguments:
        if word.startswith(("tests/", "benchmarks/", "docker/")):
            assert (ROOT / word).is_file(), word
    assert isinstance(claim["date"], datetime.date)
    assert claim["figure"]


@pytest.mark.parametrize(
    "claim", [claim for claim in CLAIMS if "weights" in claim], ids=lambda claim: claim["claim"][:40]
)
def test_figure_of_weights_names_its_version(claim):
    assert claim["weights"] == WRITER.shipped_version() or claim.get("dated"), "measure it again"


def test_missed_target_is_shown_next_to_figure():
    page = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    for claim in CLAIMS:
        if "aim" in claim:
            assert f"| {claim['aim']} |" in page
