"""`report.json`: volumes with ranges, uncertain regions, and expected performance for the available sequences."""

import json
from dataclasses import replace

import numpy as np
import pytest

from brats_mm.domain.availability import ALL_AVAILABLE
from brats_mm.domain.case import Case
from brats_mm.domain.modality import Modality
from brats_mm.domain.prediction import Importance, ModelIdentity, Prediction, Run
from brats_mm.domain.regions import REGIONS, LabelConvention, Region
from brats_mm.domain.trust_profile import DiceOverCases, ExpectedDice
from brats_mm.domain.volume import Grid, Volume
from brats_mm.outputs.report.document import build_report
from brats_mm.trust.fit import fit_profile
from tests.fakes.trust_records import made_records

PAIR = frozenset({Modality.T1CE, Modality.FLAIR})
SHAPE = (24, 24, 24)


def row(*means):
    return {region: DiceOverCases(mean, 0.1) for region, mean in zip(REGIONS, means, strict=True)}


EXPECTED = ExpectedDice(10, {PAIR: row(0.79, 0.62, 0.56), ALL_AVAILABLE: row(0.8, 0.68, 0.57)})


def prediction_of(expected=EXPECTED, available=PAIR):
    """Return a prediction with voxels of 2 mm.

    A confident block of 12 x 12 x 12 (13.824 mL) lies in a whole tumour with 6 more slices at 0.6 and 4 at 0.3.
    """
    grid = Grid(SHAPE, np.diag([2.0, 2.0, 2.0, 1.0]))
    core = np.full(SHAPE, 0.01, np.float32)
    core[:12, :12, :12] = 0.95
    whole = core.copy()
    whole[:12, :12, 12:18] = 0.6
    whole[:12, :12, 18:22] = 0.3
    weights = {m: {r: (1 / len(available) if m in available else 0.0) for r in REGIONS} for m in Modality}
    return Prediction(
        case=Case("x", {m: Volume(whole, grid) for m in available}, grid),
        probabilities={Region.WT: whole, Region.TC: core, Region.ET: np.zeros(SHAPE, np.float32)},
        importance=Importance(weights),
        model=ModelIdentity("made", "0", "0" * 64, 1, expected=expected),
        run=Run("cpu", "torch", (64, 64, 64), 1, {}),
    )


@pytest.fixture(scope="module")
def report():
    return build_report(prediction_of(), LabelConvention.BRATS2023, seconds={})


def test_volume_range_follows_uncertainty(report):
    whole = report["regions"]["wt"]
    confident, likely, possible = 12**3 * 0.008, 12 * 12 * 18 * 0.008, 12 * 12 * 22 * 0.008
    assert whole["volume_range_ml"] == pytest.approx([confident, possible])
    assert whole["volume_ml"] == pytest.approx(likely)
    assert report["regions"]["et"]["volume_range_ml"] == [0.0, 0.0]
    assert "0.75" in report["volume_range_meaning"]


def test_uncertain_regions_are_ranked_and_have_positions(report):
    (area,) = report["uncertain_regions"]
    assert (area["rank"], area["region"], area["also_uncertain"]) == (1, "wt", [])
    assert area["position_mm_ras"] == [2.0 * index for index in area["voxel"]]
    assert 12 <= area["voxel"][2] < 22
    assert area["volume_ml"] == pytest.approx(12 * 12 * 10 * 0.008, rel=0.1)
    assert 0.6 < area["mean_entropy_nats"] <= area["peak_entropy_nats"] < 0.6932


def test_quotes_model_card_row_of_available_sequences(report):
    expect = report["expected_performance"]
    assert (expect["sequences"], expect["cases"]) == ("t1ce+flair", 10)
    assert expect["dice"]["et"] == {"mean": 0.56, "std": 0.1}
    assert expect["dice_of_all_four"]["et"]["mean"] == 0.57


def test_no_expected_performance_without_bundle_figures():
    prediction = prediction_of(expected=None)
    assert build_report(prediction, LabelConvention.BRATS2023, seconds={})["expected_performance"] is None
    other = prediction_of(available=frozenset({Modality.T1}))
    assert build_report(other, LabelConvention.BRATS2023, seconds={})["expected_performance"] is None


def test_report_is_valid_json(report):
    assert json.loads(json.dumps(report)) == report


def test_model_identity_depends_on_weights_only():
    model = prediction_of().model
    assert replace(model, expected=None) == model


def test_trust_profile_gives_expected_dice_intervals_grade_and_advice():
    prediction = prediction_of()
    trusted = replace(prediction, model=replace(prediction.model, trust=fit_profile(made_records())))
    report = build_report(trusted, LabelConvention.BRATS2023, seconds={})
    whole, enhancing = report["regions"]["wt"], report["regions"]["et"]
    assert whole["expected_dice"] == pytest.approx(
        trusted.model.trust.curves[Region.WT].expected(whole["estimated_dice"]), abs=1e-3
    )
    assert whole["expected_dice"] < whole["estimated_dice"]
    assert whole["expected_dice_interval"][0] < whole["expected_dice"] < whole["expected_dice_interval"][1]
    assert whole["volume_interval_ml"][0] < whole["volume_ml"] < whole["volume_interval_ml"][1]
    assert enhancing["reliability"] is None
    trust = report["trust"]
    assert (trust["calibrated"], trust["labelled_cases"], trust["nominal_coverage"]) == (True, 12, 0.9)
    assert "as low as" in trust["statement"]
    assert trust["advice"].startswith("Adding T")
    assert set(trust["expected_gains"]) == {"t1", "t2"}
    json.dumps(report)


def test_without_profile_report_states_it_and_uses_model_card_for_advice(report):
    trust = report["trust"]
    assert not trust["calibrated"]
    assert "no trust profile" in trust["statement"]
    assert report["regions"]["wt"]["expected_dice"] == report["regions"]["wt"]["estimated_dice"]
    assert report["regions"]["wt"]["expected_dice_interval"] is None
    assert trust["advice"] is None, "the card scores neither three sequences with T1 nor with T2"
