"""`brats-mm bundle trust-profile` fits a profile and writes it with its figures."""

import csv
import json
import shutil
from dataclasses import asdict

import pytest

from brats_mm.errors import OptionError
from brats_mm.io.bundle import Bundle, verify_hash
from brats_mm.packaging.trust import replace_blocks, update_trust
from brats_mm.trust.profile_file import read_trust_profile
from tests.fakes.trust_records import made_records


@pytest.fixture
def bundle(tiny_bundle, tmp_path):
    return Bundle(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


@pytest.fixture
def evaluation(bundle, tmp_path):
    folder = tmp_path / "evaluation"
    folder.mkdir()
    records = [asdict(one) for one in made_records(10)]
    with (folder / "trust.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    weights = [
        f"case{case},t1+t1ce+t2+flair,{region},{modality},{weight}"
        for case in range(10)
        for region in ("wt", "tc", "et")
        for modality, weight in (("t1", 0.1), ("t1ce", 0.6), ("t2", 0.1), ("flair", 0.2))
    ]
    (folder / "gate_weights.csv").write_text("\n".join(["case,subset,region,modality,weight", *weights]) + "\n")
    model = {"name": "tiny", "version": "1", "weights_sha256": verify_hash(bundle), "calibration": {}}
    (folder / "summary.json").write_text(json.dumps({"model": model}))
    return folder


def test_profile_figures_and_tables_are_written(evaluation, bundle, tmp_path):
    page = tmp_path / "trust.md"
    marks = [
        f"<!-- trust {name}: `brats-mm bundle trust-profile` writes this table -->"
        for name in ("order", "reliability-plot")
    ]
    page.write_text("\n".join(["before", *(f"{mark}\nold\n<!-- end of trust -->" for mark in marks), "after\n"]))

    result = update_trust(evaluation, bundle, page)

    figures = json.loads((bundle.root / "docs/trust_figures.json").read_text())
    assert figures["cases"] == 10
    wt = figures["expected_dice"]["wt"]
    assert wt["segmentations"] == 150
    assert wt["calibrated"]["mean_absolute_error"] < 0.02 < wt["estimate"]["mean_absolute_error"]
    assert wt["calibrated"]["spearman"] > 0.95
    in_use, *higher = wt["limits"]
    assert (in_use["limit"], in_use["unreliable"]) == (0.5, wt["grades"]["unreliable"]["segmentations"])
    assert all(in_use["failures"] <= one["failures"] <= one["all_failures"] for one in higher)
    assert figures["counterintuitive"]["wt"]["rate"] == 0
    assert figures["class_ece"]["et"] == {"before_temperatures": 0.2, "after_temperatures": 0.1}
    assert figures["advice"]["et"]["table"]["right"] == 1
    assert figures["importance"]["et"]["gate_weight_and_dice_lost"] > 0.7
    document = json.loads(json.dumps(result.figures["model"])) | {"calibration": {}}
    assert read_trust_profile(bundle, document) is not None
    card = (bundle.root / "docs/README.md").read_text()
    assert "calibrated on only 10 labelled cases" in card
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "counter-intuitive rate" in text
    assert "old" not in text
    assert "![Expected against true Dice by region](pictures/trust_reliability.svg)" in text
    assert (tmp_path / "pictures/trust_reliability.svg").read_text().startswith("<svg")


def test_second_fit_replaces_first(evaluation, bundle):
    update_trust(evaluation, bundle)
    card = (bundle.root / "docs/README.md").read_text()
    update_trust(evaluation, bundle)
    assert (bundle.root / "docs/README.md").read_text() == card


def test_rejects_evaluation_of_other_weights(evaluation, bundle):
    (evaluation / "summary.json").write_text(json.dumps({"model": {"weights_sha256": "0" * 64}}))
    with pytest.raises(OptionError, match="other than those of the bundle"):
        update_trust(evaluation, bundle)


def test_rejects_evaluation_without_table(evaluation, bundle):
    (evaluation / "trust.csv").unlink()
    with pytest.raises(OptionError, match=r"trust\.csv is not an evaluation table"):
        update_trust(evaluation, bundle)


def test_marks_name_the_writing_command():
    page = "<!-- trust a: `x.py` writes this table -->\nold\n<!-- end of trust -->"
    assert replace_blocks(page, {"a": "new"}) == page
    assert replace_blocks(page, {"a": "new"}, "x.py") == page.replace("old", "new")


def test_text_without_marks_is_unchanged():
    assert replace_blocks("plain", {"order": "table"}) == "plain"
