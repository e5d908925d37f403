"""`models/calibration.json` of a bundle: what is done to its logits with each subset of sequences.

The file names the weights that it was fitted to. With other weights it is an error, not a table to pass over in
silence: the figures of a card are of the corrected model.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from brats_mm.domain.availability import SUBSETS, subset_name
from brats_mm.domain.regions import REGIONS
from brats_mm.domain.subset_calibration import Correction, SubsetCalibration
from brats_mm.errors import BundleError
from brats_mm.io.bundle import Bundle

SUBSET_CALIBRATION = "models/calibration.json"
FORMAT = 2
"""1 had no `inside`: such a table reads as one that leaves the inside alone."""
DIGITS = 4


def read_subset_calibration(bundle: Bundle, weights_sha256: str) -> SubsetCalibration | None:
    """The corrections of a bundle's logits; None where it has none.

    Raises:
        BundleError: the file is damaged, or was fitted to other weights.
    """
    path = bundle.root / SUBSET_CALIBRATION
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        fitted_to, found = str(document["weights_sha256"]), _calibration(document)
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{path} cannot be read ({error!r}). Restore the bundle, or delete the file to have raw logits."
        raise BundleError(message) from error
    if fitted_to != weights_sha256:
        message = (
            f"{path} was fitted to other weights ({fitted_to[:12]}..., the bundle's are {weights_sha256[:12]}...). "
            "Pack these weights anew with --calibrate, or delete the file to have raw logits."
        )
        raise BundleError(message)
    return found


def _calibration(document: dict[str, Any]) -> SubsetCalibration:
    corrections = {
        subset: {region: _correction(row[region.value]) for region in REGIONS}
        for subset in SUBSETS
        if (row := document["subsets"].get(subset_name(subset))) is not None
    }
    if any(one.temperature <= 0 or one.inside <= 0 for row in corrections.values() for one in row.values()):
        message = "a temperature is not above 0"
        raise ValueError(message)
    return SubsetCalibration(int(document["cases"]), corrections)


def _correction(numbers: Mapping[str, Any]) -> Correction:
    return Correction(**{name: float(value) for name, value in numbers.items()})


def subset_calibration_document(calibration: SubsetCalibration, weights_sha256: str) -> dict[str, Any]:
    """What the file holds."""
    return {
        "format": FORMAT,
        "weights_sha256": weights_sha256,
        "cases": calibration.cases,
        "subsets": {
            subset_name(subset): {
                region.value: {name: round(value, DIGITS) for name, value in asdict(one).items()}
                for region, one in calibration.corrections[subset].items()
            }
            for subset in SUBSETS
            if subset in calibration.corrections
        },
    }
