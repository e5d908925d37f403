"""Terminal output of a segmented case."""

from brats_mm.cli.output import Console
from brats_mm.cli.result import print_result

REPORT = {
    "warnings": [],
    "regions": {
        "wt": {
            "name": "whole tumour",
            "volume_ml": 52.0,
            "mean_entropy_inside_nats": 0.2,
            "volume_interval_ml": [40.0, 66.0],
            "expected_dice": 0.83,
            "expected_dice_interval": [0.7, 0.93],
            "reliability": "reliable",
        },
        "et": {
            "name": "enhancing tumour",
            "volume_ml": 0.0,
            "mean_entropy_inside_nats": None,
            "volume_interval_ml": None,
            "expected_dice": None,
            "expected_dice_interval": None,
            "reliability": None,
        },
    },
    "trust": {"advice": "Adding T1ce would help.", "statement": "Few cases."},
    "run": {"device": "cpu", "seconds": {"read": 1.0}},
    "disclaimer": "Research software.",
}


def test_prints_expected_dice_intervals_grade_and_advice(capsys):
    print_result(REPORT, Console())
    message = capsys.readouterr().out
    whole, enhancing = message.splitlines()[:2]
    assert "mL (40" in whole
    assert "mean entropy 0.20 nats, expected Dice 83 % (70 to 93 %), reliable" in whole
    assert enhancing.endswith("empty")
    assert "Adding T1ce would help.\nFew cases.\n" in message
