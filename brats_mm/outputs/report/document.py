"""Content of `report.json` and `importance.json`.

Both hold plain numbers with units in their names. Neither contains file paths or header fields of the input, which may
contain a patient's name.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from brats_mm.domain.availability import Availability, sort_modalities
from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS
from brats_mm.domain.entropy import MAX_BINARY_NATS, MAX_COMPARTMENT_NATS
from brats_mm.domain.prediction import Prediction
from brats_mm.domain.preprocessing import Preparation, Step
from brats_mm.domain.regions import REGIONS, Compartment, LabelConvention, Region
from brats_mm.domain.subset_calibration import SubsetCalibration
from brats_mm.trust.assess import Assessment, RegionTrust, SequenceGain, assess
from brats_mm.trust.case_dice import MEANING as ESTIMATE_MEANING
from brats_mm.trust.expected_performance import find_expected_performance
from brats_mm.trust.leave_one_out import MEANING as LEFT_OUT_MEANING
from brats_mm.trust.uncertain_regions import MEANING as UNCERTAIN_REGIONS_MEANING
from brats_mm.trust.uncertain_regions import UncertainRegion, find_uncertain_regions

REPORT_VERSION = 2
DIGITS = 6

VOLUME_RANGE_MEANING = (
    "Volumes at probability thresholds 0.75 and 0.25, while volume_ml uses 0.5. The range reflects the model's "
    "uncertainty. It is not a confidence interval, because it does not cover confident errors."
)
CORRECTION_MEANING = (
    "Fitted on labelled cases after training: (logit - offset) / temperature. Positive results are also divided by "
    "`foreground_temperature`, which leaves the outline unchanged."
)

WEIGHTS_MEANING = (
    "Gate weight of each sequence for a region, averaged over the brain. Sums to 1 over the available sequences, and "
    "is 0 for missing sequences."
)
JOINT_MEANING = (
    "Gate weight of the expert for all sequences together, in regions with suspected tumour. The weights of the "
    "single sequences are shares of the remainder."
)
NO_WEIGHTS_MEANING = "This model has no gate weights, so the importance of sequences is unknown."


def build_report(prediction: Prediction, convention: LabelConvention, *, seconds: dict[str, float]) -> dict[str, Any]:
    """Return the content of `report.json`.

    Args:
        prediction: the prediction.
        convention: label values that were written.
        seconds: seconds of each stage, including reading and writing.
    """
    case, run = prediction.case, prediction.run
    assessed = assess(prediction)
    return {
        "report_version": REPORT_VERSION,
        "disclaimer": NOT_FOR_DIAGNOSIS,
        "sequences_found": [modality.value for modality in sort_modalities(case.available)],
        "sequences_missing": [modality.value for modality in sort_modalities(case.missing)],
        "regions": {region.value: _describe_region(prediction, region, assessed.regions[region]) for region in REGIONS},
        "estimated_dice_meaning": ESTIMATE_MEANING,
        "volume_range_meaning": VOLUME_RANGE_MEANING,
        "trust": describe_trust(assessed),
        "uncertain_regions": [
            {"rank": rank, **_describe_area(area)}
            for rank, area in enumerate(find_uncertain_regions(prediction.probabilities, case.grid), start=1)
        ],
        "uncertain_regions_meaning": UNCERTAIN_REGIONS_MEANING,
        "expected_performance": find_expected_performance(prediction.model, case.available),
        "labels": {compartment.value: convention.value_of(compartment) for compartment in Compartment},
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
            "correction": _describe_correction(prediction.model.calibration, case.available),
        },
        "run": {
            "device": run.device,
            "backend": run.backend,
            "precision": run.precision,
            "window_voxels": list(run.window),
            "windows": run.windows,
            "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
        },
        "preparation": None if case.preparation is None else _describe_preparation(case.preparation),
        "warnings": list(assessed.warnings),
    }


def _describe_correction(calibration: SubsetCalibration | None, available: Availability) -> dict[str, Any] | None:
    """Describe the logit correction for these sequences, or return None if there is none."""
    if calibration is None:
        return None
    regions = {region.value: asdict(calibration.find_correction(available, region)) for region in REGIONS}
    return {"meaning": CORRECTION_MEANING, "labelled_cases": calibration.cases, "regions": regions}


def describe_trust(assessed: Assessment) -> dict[str, Any]:
    """Return the coverage of the expected Dice and its intervals, and the expected gain from each missing sequence."""
    profile = assessed.profile
    return {
        "calibrated": profile is not None,
        "labelled_cases": None if profile is None else profile.cases,
        "nominal_coverage": None if profile is None else profile.coverage,
        "statement": assessed.statement,
        "advice": assessed.advice,
        "expected_gains": describe_gains(assessed.gains),
    }


def describe_gains(gains: Iterable[SequenceGain]) -> dict[str, Any]:
    """Return the expected Dice of each region before and after adding each missing sequence."""
    return {
        gain.sequence.value: {
            region.value: {"from": round(gain.before[region], 4), "to": round(gain.after[region], 4)}
            for region in REGIONS
        }
        for gain in gains
    }


def _describe_region(prediction: Prediction, region: Region, trust: RegionTrust) -> dict[str, Any]:
    entropy = prediction.mean_entropy_inside(region)
    return {
        "name": region.label,
        "volume_ml": round(prediction.volume_ml(region), 3),
        "volume_range_ml": [round(volume, 3) for volume in prediction.volume_range_ml(region)],
        "mean_entropy_inside_nats": None if entropy is None else round(entropy, DIGITS),
        "volume_interval_ml": _round_interval(trust.volume_interval_ml, 3),
        "estimated_dice": None if trust.estimate is None else round(trust.estimate, 4),
        "expected_dice": None if trust.expected_dice is None else round(trust.expected_dice, 4),
        "expected_dice_interval": _round_interval(trust.dice_interval, 4),
        "reliability": None if trust.grade is None else trust.grade.value,
        "reliability_advice": trust.action,
    }


def _round_interval(interval: tuple[float, float] | None, digits: int) -> list[float] | None:
    return None if interval is None else [round(value, digits) for value in interval]


def _describe_area(area: UncertainRegion) -> dict[str, Any]:
    return {
        "region": area.region.value,
        "also_uncertain": [region.value for region in area.also],
        "position_mm_ras": [round(value, 2) for value in area.position_mm_ras],
        "voxel": list(area.voxel),
        "volume_ml": round(area.volume_ml, 3),
        "mean_entropy_nats": round(area.mean_entropy_nats, DIGITS),
        "peak_entropy_nats": round(area.peak_entropy_nats, DIGITS),
    }


def build_importance(prediction: Prediction) -> dict[str, Any]:
    """Return the content of `importance.json`: the gate weight of each modality for each region.

    `weights` is empty for a model without a gate.
    """
    return {
        "disclaimer": NOT_FOR_DIAGNOSIS,
        "meaning": WEIGHTS_MEANING if prediction.importance.known else NO_WEIGHTS_MEANING,
        "sequences_found": [modality.value for modality in sort_modalities(prediction.case.available)],
        "sequences_missing": [modality.value for modality in sort_modalities(prediction.case.missing)],
        "weights": {
            modality.value: {region.value: round(by_region[region], DIGITS) for region in REGIONS}
            for modality, by_region in prediction.importance.weights.items()
        },
        **_describe_joint(prediction),
        **_describe_left_out(prediction),
    }


def _describe_left_out(prediction: Prediction) -> dict[str, Any]:
    """Return the change of each region when a sequence is left out, if it was measured."""
    changes = prediction.importance.left_out
    if changes is None:
        return {}
    return {
        "leave_one_out": {
            "meaning": LEFT_OUT_MEANING,
            "changes": {
                modality.value: {
                    region.value: {
                        "volume_change_ml": round(region_changes.volume_ml, 3),
                        "dice": round(region_changes.dice, DIGITS),
                        "mean_probability_change": round(region_changes.probability, DIGITS),
                    }
                    for region, region_changes in regions.items()
                }
                for modality, regions in changes.items()
            },
        }
    }


def _describe_joint(prediction: Prediction) -> dict[str, Any]:
    """Return the gate weight of the cross-sequence expert for each region, if the model has one."""
    joint = prediction.importance.joint
    if joint is None:
        return {}
    weights = {region.value: round(joint[region], DIGITS) for region in REGIONS}
    return {"cross_sequence": {"meaning": JOINT_MEANING, "weights": weights}}


def _describe_preparation(preparation: Preparation) -> dict[str, Any]:
    """Describe kind and evidence, and for raw scans the reference and each step."""
    document: dict[str, Any] = {
        "kind": preparation.recognition.kind.value,
        "evidence": list(preparation.recognition.evidence),
    }
    if preparation.reference is not None:
        document["reference"] = preparation.reference.value
        document["reference_reason"] = preparation.reason
        document["steps"] = [_describe_step(step) for step in preparation.steps]
    return document


def _describe_step(step: Step) -> dict[str, Any]:
    return {
        "name": step.name,
        "seconds": round(step.seconds, 3),
        "quality": dict(step.quality),
        "warnings": list(step.warnings),
    }
