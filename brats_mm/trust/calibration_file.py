"""`models/calibration.json` of a bundle: the logit corrections of each subset of sequences.

The file records the hash of the weights that it was fitted to. A mismatch is an error, because the model card describes
the calibrated model.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from brats_mm.domain.availability import SUBSETS, format_subset
from brats_mm.domain.regions import REGIONS
from brats_mm.domain.subset_calibration import Correction, SubsetCalibration
from brats_mm.errors import BundleError
from brats_mm.io.bundle import Bundle, read_fitted

SUBSET_CALIBRATION = "models/calibration.json"
FORMAT = 3
"""Version of the format."""
DIGITS = 4


def read_subset_calibration(bundle: Bundle, weights_sha256: str) -> SubsetCalibration | None:
    """Read the corrections of a bundle's logits, or return None if the bundle has none.

    Args:
        bundle: bundle of the model.
        weights_sha256: SHA-256 of its weights in hexadecimal.

    Raises:
        BundleError: the file is damaged, or was fitted to other weights.
    """
    read = read_fitted(
        bundle,
        SUBSET_CALIBRATION,
        lambda document: (str(document["weights_sha256"]), _parse_calibration(document)),
        "Restore the bundle, or delete the file to use raw logits.",
    )
    if read is None:
        return None
    fitted_to, calibration = read
    if fitted_to != weights_sha256:
        raise BundleError(
            f"{bundle.root / SUBSET_CALIBRATION} was fitted to other weights: {fitted_to[:12]}... instead of the "
            f"bundle's {weights_sha256[:12]}... Create the bundle again with --calibrate, or delete the file to use "
            "raw logits."
        )
    return calibration


def _parse_calibration(document: Mapping[str, Any]) -> SubsetCalibration:
    corrections = {
        subset: {region: _parse_correction(row[region.value]) for region in REGIONS}
        for subset in SUBSETS
        if (row := document["subsets"].get(format_subset(subset))) is not None
    }
    fitted = [correction for row in corrections.values() for correction in row.values()]
    if any(correction.temperature <= 0 or correction.foreground_temperature <= 0 for correction in fitted):
        raise ValueError("temperatures must be positive")
    return SubsetCalibration(int(document["cases"]), corrections)


def _parse_correction(numbers: Mapping[str, Any]) -> Correction:
    return Correction(**{name: float(value) for name, value in numbers.items()})


def build_subset_calibration_document(calibration: SubsetCalibration, weights_sha256: str) -> dict[str, Any]:
    """Return the file's content."""
    return {
        "format": FORMAT,
        "weights_sha256": weights_sha256,
        "cases": calibration.cases,
        "subsets": {
            format_subset(subset): {
                region.value: {name: round(value, DIGITS) for name, value in asdict(correction).items()}
                for region, correction in calibration.corrections[subset].items()
            }
            for subset in SUBSETS
            if subset in calibration.corrections
        },
    }
