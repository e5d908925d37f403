"""`models/trust.json` of a bundle: the trust profile of its weights, fitted to labelled cases.

The file records the hash of the weights and a fingerprint of their temperatures. A profile of other weights or
temperatures is ignored, and outputs then fall back to uncalibrated estimates. `brats-mm bundle trust-profile` writes
the file.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from brats_mm.domain.availability import SUBSETS, format_subset
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import REGIONS
from brats_mm.domain.trust_profile import DiceCurve, GainModel, GainTerm, LightRecord, SequenceGroup, TrustProfile
from brats_mm.io.bundle import Bundle, read_fitted

TRUST_PROFILE = "models/trust.json"
FORMAT = 1
DIGITS = 5


def compute_fingerprint(model: Mapping[str, Any]) -> str:
    """Return the hash of the weights and temperatures that a profile belongs to.

    Args:
        model: the model as in `ModelIdentity.document()` or in an evaluation's summary.
    """
    parts = {"weights_sha256": model["weights_sha256"], "calibration": _round_values(model.get("calibration") or {})}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read_trust_profile(bundle: Bundle, model: Mapping[str, Any]) -> TrustProfile | None:
    """Read the profile of a model, or return None if the bundle has none for these weights and temperatures.

    Args:
        bundle: bundle of the model.
        model: the model as in `ModelIdentity.document()`.

    Raises:
        BundleError: the file is damaged.
    """

    def parse(document: Mapping[str, Any]) -> TrustProfile | None:
        return parse_profile(document) if document["fingerprint"] == compute_fingerprint(model) else None

    remedy = "Write it again with `brats-mm bundle trust-profile`, or delete it."
    return read_fitted(bundle, TRUST_PROFILE, parse, remedy)


def parse_profile(document: Mapping[str, Any]) -> TrustProfile:
    """Read the file's content."""
    gains = document["gains"]
    return TrustProfile(
        cases=int(document["cases"]),
        coverage=float(document["coverage"]),
        coverage_floor=float(document["coverage_floor"]),
        curves={region: _parse_curve(document["expected_dice"][region.value]) for region in REGIONS},
        volume_widths={
            group: {region: float(row[region.value]) for region in REGIONS if region.value in row}
            for group in SequenceGroup
            if (row := document["log_volume_widths"].get(group.value)) is not None
        },
        gains=GainModel(
            dice={
                subset: {region: float(row[region.value]) for region in REGIONS}
                for subset in SUBSETS
                if (row := gains["dice"].get(format_subset(subset))) is not None
            },
            log_enhancing={
                subset: float(gains["log_enhancing"][format_subset(subset)])
                for subset in SUBSETS
                if format_subset(subset) in gains["log_enhancing"]
            },
            terms={
                region: {Modality(name): GainTerm(*map(float, term)) for name, term in row.items()}
                for region in REGIONS
                if (row := gains["terms"].get(region.value)) is not None
            },
        ),
        lights={
            region: {light: LightRecord(*map(int, counts)) for light, counts in row.items()}
            for region in REGIONS
            if (row := document.get("lights", {}).get(region.value)) is not None
        },
        no_tumour_scores={int(count): float(score) for count, score in document.get("no_tumour_scores", {}).items()},
    )


def build_profile_document(profile: TrustProfile, model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the file's content."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "fingerprint": compute_fingerprint(model),
        "weights_sha256": model["weights_sha256"],
        "cases": profile.cases,
        "coverage": profile.coverage,
        "coverage_floor": profile.coverage_floor,
        "expected_dice": {
            region.value: {"estimates": list(curve.estimates), "dice": list(curve.dice), "width": curve.width}
            for region, curve in profile.curves.items()
        },
        "log_volume_widths": {
            group.value: {region.value: width for region, width in row.items()}
            for group, row in profile.volume_widths.items()
        },
        "gains": {
            "dice": {
                format_subset(subset): {region.value: dice for region, dice in row.items()}
                for subset, row in profile.gains.dice.items()
            },
            "log_enhancing": {format_subset(subset): value for subset, value in profile.gains.log_enhancing.items()},
            "terms": {
                region.value: {added.value: [term.per_dice, term.per_log_enhancing] for added, term in row.items()}
                for region, row in profile.gains.terms.items()
            },
        },
        "lights": {
            region.value: {light: [one.outlines, one.poor] for light, one in row.items()}
            for region, row in profile.lights.items()
        },
        "no_tumour_scores": {str(count): score for count, score in profile.no_tumour_scores.items()},
    }
    return {key: _round_values(value) for key, value in document.items()}


def _parse_curve(document: Mapping[str, Any]) -> DiceCurve:
    width = document["width"]
    return DiceCurve(
        tuple(map(float, document["estimates"])),
        tuple(map(float, document["dice"])),
        None if width is None else float(width),
    )


def _round_values(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _round_values(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_round_values(inner) for inner in value]
    return round(value, DIGITS) if isinstance(value, float) else value
