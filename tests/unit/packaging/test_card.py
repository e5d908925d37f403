"""The model card of a bundle: its tables and its JSON file agree and belong to the weights."""

import json
import re
import shutil

import pytest

from brats_mm.domain.availability import SUBSETS, describe, format_subset
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import Region
from brats_mm.errors import BundleError, OptionError
from brats_mm.io.bundle import Bundle, default_bundle, verify_hash
from brats_mm.packaging.card import BEGIN, END, replace_figures, update_card
from brats_mm.trust.expected_performance import EXPECTED_DICE, build_expected_dice_document, read_expected_dice

SCORES = {"hd95_mm": {"mean": 10.0, "std": 1.0, "cases": 3}}


def evaluation_of(digest: str) -> dict:
    """Return a synthetic summary in which each sequence adds 0.1 to the Dice, with slightly less for ET."""

    def region(subset, less):
        mean = 0.1 * len(subset) - less
        return {"dice": {"mean": mean, "std": 0.02, "cases": 3}, **SCORES}

    def by_rule(subset):
        return {"wt": region(subset, 0.0), "tc": region(subset, 0.01), "et": region(subset, 0.02)}

    measures = (
        "dice",
        "hd95_mm",
        "class_ece",
        "ece",
        "sensitivity",
        "precision",
        "lesion_dice",
        "error_auroc",
        "qu_brats",
    )
    means = {r: dict.fromkeys(measures, 0.5) for r in ("wt", "tc", "et")}
    keys = ("all_sets", "full_set", "single_sequences", "with_t1ce", "without_t1ce")
    return {
        "model": {"weights_sha256": digest},
        "cases": 3,
        "empty_policy": {"name": "brats"},
        "sets": {format_subset(s): {rule: by_rule(s) for rule in ("raw", "et500")} for s in SUBSETS},
        "means": {rule: dict.fromkeys(keys, means) for rule in ("raw", "et500")},
        "counterintuitive": {"raw": {r: {"rate": 0.25} for r in ("wt", "tc", "et")}},
    }


@pytest.fixture
def bundle(tiny_bundle, tmp_path):
    return Bundle(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


@pytest.fixture
def evaluation(bundle, tmp_path):
    folder = tmp_path / "evaluation"
    folder.mkdir()
    (folder / "summary.json").write_text(json.dumps(evaluation_of(verify_hash(bundle))))
    return folder


def test_shipped_card_and_json_agree_and_match_shipped_weights():
    bundle = Bundle(default_bundle())
    expected = read_expected_dice(bundle, verify_hash(bundle))
    assert expected is not None, "figures of other weights: run `brats-mm evaluate` and `brats-mm bundle card`"
    card = (bundle.root / "docs" / "README.md").read_text(encoding="utf-8")
    for subset in SUBSETS:
        row = next(line for line in card.splitlines() if line.startswith(f"| {describe(subset)} |"))
        et, _, tc, wt = (float(cell) for cell in row.split("|")[2:6])
        dice = expected.dice[subset]
        result = [100 * dice[region].mean for region in (Region.ET, Region.TC, Region.WT)]
        assert result == pytest.approx([et, tc, wt], abs=0.056), describe(subset)


def test_command_writes_tables_and_json_rows(bundle, evaluation):
    actual = update_card(evaluation, bundle)
    assert (actual.cases, actual.subsets) == (3, 15)
    assert "| T1ce, FLAIR | 18.0 | 18.0 | 19.0 | 20.0 | 10.0 |" in actual.card.read_text()
    expected = read_expected_dice(bundle, verify_hash(bundle))
    row = expected.dice[frozenset({Modality.T1CE, Modality.FLAIR})]
    assert (row[Region.WT].mean, row[Region.ET].mean, row[Region.ET].std) == (0.2, 0.18, 0.02)


def test_second_write_keeps_text_and_replaces_tables(bundle, evaluation):
    (bundle.root / "docs").mkdir()
    (bundle.root / "docs" / "README.md").write_text(f"# Mine\n\nbefore\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    update_card(evaluation, bundle)
    text = update_card(evaluation, bundle).card.read_text()
    assert text.count("| T1ce, FLAIR |") == 1
    assert "old" not in text
    assert re.search(r"# Mine\n\nbefore\n\n<!--.*-->\n\nafter\n$", text, re.DOTALL)


def test_card_without_marks_gets_section():
    assert replace_figures("# Mine\n", "T") == f"# Mine\n\n## Figures\n\n{BEGIN}\nT\n{END}\n"


def test_rejects_evaluation_of_other_weights(bundle, evaluation):
    (evaluation / "summary.json").write_text(json.dumps(evaluation_of("0" * 64)))
    with pytest.raises(OptionError, match=r"other than those of the bundle .*Evaluate this bundle with"):
        update_card(evaluation, bundle)
    assert not (bundle.root / EXPECTED_DICE).exists()


def test_ignores_figures_of_other_weights(bundle, evaluation):
    update_card(evaluation, bundle)
    assert read_expected_dice(bundle, "f" * 64) is None


def test_bundle_without_figures_has_no_expected_performance(bundle):
    assert read_expected_dice(bundle, "f" * 64) is None


def test_damaged_figures_raise_error_with_remedy(bundle):
    (bundle.root / "docs").mkdir()
    (bundle.root / EXPECTED_DICE).write_text('{"weights_sha256": "f", "dice": {}}')
    with pytest.raises(BundleError, match=r"expected_dice\.json cannot be read .*brats-mm bundle card"):
        read_expected_dice(bundle, "f")


def test_subset_without_scores_is_omitted():
    evaluation = evaluation_of("f")
    del evaluation["sets"]["t1"]
    assert "t1" not in build_expected_dice_document(evaluation)["dice"]
