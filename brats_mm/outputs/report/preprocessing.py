"""The part of `report.json` on what an input was taken for, and how raw scans were prepared."""

from typing import Any

from brats_mm.domain.preprocessing import Preparation, Step


def preparation_of(preparation: Preparation) -> dict[str, Any]:
    """Kind and evidence; for raw scans the reference, and each step with its seconds, quality and warnings."""
    found: dict[str, Any] = {
        "kind": preparation.recognition.kind.value,
        "evidence": list(preparation.recognition.evidence),
    }
    if preparation.reference is not None:
        found["reference"] = preparation.reference.value
        found["reference_reason"] = preparation.reason
        found["steps"] = [_step(step) for step in preparation.steps]
    return found


def _step(step: Step) -> dict[str, Any]:
    return {
        "name": step.name,
        "seconds": round(step.seconds, 3),
        "quality": dict(step.quality),
        "warnings": list(step.warnings),
    }
