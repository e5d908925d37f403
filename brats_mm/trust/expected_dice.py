"""`docs/expected_dice.json` of a bundle: the rows of its model card, for programs.

The file names the weights that were scored. Figures of other weights are not read, so that a bundle whose weights were
replaced says nothing rather than something wrong; `brats-mm card` writes the file anew from an evaluation.
"""

import json
from collections.abc import Mapping
from typing import Any

from brats_mm.domain.availability import SUBSETS, subset_name
from brats_mm.domain.expected import DiceOverCases, ExpectedDice
from brats_mm.domain.regions import REGIONS
from brats_mm.errors import BundleError
from brats_mm.io.bundle import Bundle

EXPECTED_DICE = "docs/expected_dice.json"
FORMAT = 1
DIGITS = 4


def read_expected_dice(bundle: Bundle, weights_sha256: str) -> ExpectedDice | None:
    """The figures of these weights; None where the bundle has none, or those of other weights.

    Raises:
        BundleError: the file is damaged.
    """
    path = bundle.root / EXPECTED_DICE
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["weights_sha256"] != weights_sha256:
            return None
        return _expected(document)
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{path} cannot be read ({error!r}). Write it anew with `brats-mm card`, or delete it."
        raise BundleError(message) from error


def _expected(document: Mapping[str, Any]) -> ExpectedDice:
    dice = {
        subset: {
            region: DiceOverCases(float(row[region.value]["mean"]), float(row[region.value]["std"]))
            for region in REGIONS
        }
        for subset in SUBSETS
        if (row := document["dice"].get(subset_name(subset))) is not None
    }
    return ExpectedDice(int(document["cases"]), dice)


def expected_dice_document(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """What the file holds, of the content of an evaluation's `summary.json`: Dice as predicted, without rules."""
    dice = {}
    for subset in SUBSETS:
        scores = evaluation["sets"].get(subset_name(subset))
        if scores is None:
            continue
        of_region = {region: scores["raw"][region.value]["dice"] for region in REGIONS}
        if all(one["mean"] is not None for one in of_region.values()):
            dice[subset_name(subset)] = {
                region.value: {"mean": round(one["mean"], DIGITS), "std": round(one["std"] or 0.0, DIGITS)}
                for region, one in of_region.items()
            }
    return {
        "format": FORMAT,
        "meaning": "Dice of the label map, 0 to 1, as predicted: mean and standard deviation over the labelled cases.",
        "weights_sha256": evaluation["model"]["weights_sha256"],
        "cases": evaluation["cases"],
        "empty_policy": evaluation["empty_policy"]["name"],
        "dice": dice,
    }
