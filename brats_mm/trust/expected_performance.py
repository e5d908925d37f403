"""`docs/expected_dice.json` of a bundle: the scores of its model card, machine-readable.

The file records the hash of the scored weights. Scores of other weights are ignored. `brats-mm bundle card` writes the
file from an evaluation.
"""

from collections.abc import Mapping
from typing import Any

from brats_mm.domain.availability import ALL_AVAILABLE, SUBSETS, Availability, format_subset
from brats_mm.domain.prediction import ModelIdentity
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.trust_profile import DiceOverCases, ExpectedDice
from brats_mm.io.bundle import Bundle, read_fitted

EXPECTED_DICE = "docs/expected_dice.json"
MEANING = (
    "Dice of the label map, 0 to 1, of this model with the same sequences on labelled cases outside its training data: "
    "mean and standard deviation over the cases. Results on other scanners and diseases can be worse."
)

FORMAT = 1
DIGITS = 4


def read_expected_dice(bundle: Bundle, weights_sha256: str) -> ExpectedDice | None:
    """Read the scores of these weights, or return None if the bundle has no scores of them.

    Args:
        bundle: bundle of the model.
        weights_sha256: SHA-256 of its weights in hexadecimal.

    Raises:
        BundleError: the file is damaged.
    """

    def parse(document: Mapping[str, Any]) -> ExpectedDice | None:
        return _parse_expected(document) if document["weights_sha256"] == weights_sha256 else None

    return read_fitted(bundle, EXPECTED_DICE, parse, "Write it again with `brats-mm bundle card`, or delete it.")


def _parse_expected(document: Mapping[str, Any]) -> ExpectedDice:
    dice = {
        subset: {
            region: DiceOverCases(float(row[region.value]["mean"]), float(row[region.value]["std"]))
            for region in REGIONS
        }
        for subset in SUBSETS
        if (row := document["dice"].get(format_subset(subset))) is not None
    }
    return ExpectedDice(int(document["cases"]), dice)


def build_expected_dice_document(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the file's content from an evaluation's `summary.json`: Dice without post-processing rules."""
    dice = {}
    for subset in SUBSETS:
        scores = evaluation["sets"].get(format_subset(subset))
        if scores is None:
            continue
        of_region = {region: scores["raw"][region.value]["dice"] for region in REGIONS}
        if all(scores["mean"] is not None for scores in of_region.values()):
            dice[format_subset(subset)] = {
                region.value: {"mean": round(scores["mean"], DIGITS), "std": round(scores["std"] or 0.0, DIGITS)}
                for region, scores in of_region.items()
            }
    return {
        "format": FORMAT,
        "meaning": "Dice of the label map, 0 to 1, as predicted: mean and standard deviation over the labelled cases.",
        "weights_sha256": evaluation["model"]["weights_sha256"],
        "cases": evaluation["cases"],
        "empty_policy": evaluation["empty_policy"]["name"],
        "dice": dice,
    }


def find_expected_performance(model: ModelIdentity, available: Availability) -> dict[str, Any] | None:
    """Return the model card's scores for these sequences and for all four, or None if the card has none.

    Args:
        model: identity of the model, with its scores.
        available: available sequences.
    """
    if model.expected is None or available not in model.expected.dice:
        return None
    subsets = {"dice": available, "dice_of_all_four": ALL_AVAILABLE}
    return {
        "meaning": MEANING,
        "sequences": format_subset(available),
        "cases": model.expected.cases,
        **{name: _make_row(model.expected.dice.get(subset, {})) for name, subset in subsets.items()},
    }


def _make_row(dice: Mapping[Region, DiceOverCases]) -> dict[str, Any] | None:
    return {region.value: {"mean": scores.mean, "std": scores.std} for region, scores in dice.items()} or None
