"""`report.json` and `importance.json`: what was found, what was said of it, how sure, by which model, how long it took.

Both hold plain numbers with their units in the names. Neither holds file paths or header fields of the input, which
can carry a patient's name.
"""

from typing import Any

from brats_mm.domain.availability import ordered
from brats_mm.domain.entropy import MAX_BINARY_NATS, MAX_COMPARTMENT_NATS
from brats_mm.domain.modality import MODALITIES
from brats_mm.domain.prediction import Prediction
from brats_mm.domain.regions import REGIONS, Compartment, LabelConvention
from brats_mm.domain.statement import NOT_FOR_DIAGNOSIS

REPORT_VERSION = 1
DIGITS = 6


def report_of(prediction: Prediction, convention: LabelConvention, *, seconds: dict[str, float]) -> dict[str, Any]:
    """The content of `report.json`; `seconds` are of all stages, reading and writing included."""
    case, run = prediction.case, prediction.run
    return {
        "report_version": REPORT_VERSION,
        "statement": NOT_FOR_DIAGNOSIS,
        "sequences_found": [modality.value for modality in ordered(case.available)],
        "sequences_missing": [modality.value for modality in ordered(case.missing)],
        "regions": {region.value: _region(prediction, region) for region in REGIONS},
        "labels": {part.value: convention.value_of(part) for part in Compartment},
        "label_convention": convention.value,
        "entropy_range_nats": {
            "region": round(MAX_BINARY_NATS, DIGITS),
            "combined": round(MAX_COMPARTMENT_NATS, DIGITS),
        },
        "grid": {
            "shape": list(case.grid.shape),
            "spacing_mm": [round(spacing, DIGITS) for spacing in case.grid.spacing_mm],
            "affine": case.grid.affine.tolist(),
        },
        "model": {
            "name": prediction.model.name,
            "version": prediction.model.version,
            "weights_sha256": prediction.model.weights_sha256,
            "parameters": prediction.model.parameters,
            "spacing_mm": prediction.model.spacing_mm,
        },
        "run": {
            "device": run.device,
            "backend": run.backend,
            "precision": run.precision,
            "window_voxels": list(run.window),
            "windows": run.windows,
            "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
        },
        "warnings": list(prediction.warnings),
    }


def _region(prediction: Prediction, region: Any) -> dict[str, Any]:
    entropy = prediction.mean_entropy_inside(region)
    return {
        "name": region.label,
        "volume_ml": round(prediction.volume_ml(region), 3),
        "mean_entropy_inside_nats": None if entropy is None else round(entropy, DIGITS),
    }


def importance_of(prediction: Prediction) -> dict[str, Any]:
    """The content of `importance.json`: gate weight of each modality for each region."""
    return {
        "statement": NOT_FOR_DIAGNOSIS,
        "meaning": (
            "Share of each sequence in the mixed logits of a region, the mean over the brain; sums to 1 over the "
            "sequences found, 0 for a missing one."
        ),
        "sequences_found": [modality.value for modality in ordered(prediction.case.available)],
        "sequences_missing": [modality.value for modality in ordered(prediction.case.missing)],
        "weights": {
            modality.value: {
                region.value: round(prediction.importance.weights[modality][region], DIGITS) for region in REGIONS
            }
            for modality in MODALITIES
        },
    }
