"""Table of preprocessing steps on the report page: step, measurements, warnings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from brats_mm.domain.modality import Modality

Quality = Mapping[str, Any]


@dataclass(frozen=True)
class StepRow:
    """A preprocessing step as shown on the page.

    Attributes:
        done: description of the step.
        measured: its measurements.
        is_doubted: whether it raised a warning.
        seconds: its duration.
    """

    done: str
    measured: str
    is_doubted: bool
    seconds: float


def list_step_rows(preparation: Mapping[str, Any] | None) -> list[StepRow]:
    """Return the rows of `preparation` in `report.json`, or none if the input was not preprocessed."""
    if not preparation or "reference" not in preparation:
        return []
    reference = Modality(preparation["reference"]).label
    return [_make_row(step, reference) for step in preparation["steps"]]


def _make_row(step: Mapping[str, Any], reference: str) -> StepRow:
    kind, _, sequence = str(step["name"]).partition("_")
    label = Modality(sequence).label if sequence else ""
    description = _DONE.get(kind, step["name"]).format(sequence=label, reference=reference)
    describe = _MEASURED.get(kind, _describe_all)
    return StepRow(description, describe(step["quality"]), bool(step["warnings"]), float(step["seconds"]))


def _describe_registration(quality: Quality) -> str:
    moved = f"moved by {quality['shift_mm']:.1f} mm, turned by {quality['rotation_deg']:.1f}°"
    if not quality["shift_mm"] and not quality["rotation_deg"]:
        moved = "not moved"
    return (
        f"{moved}; mutual information {quality['information_before_nats']:.2f} before, "
        f"{quality['information_nats']:.2f} nats after; head overlap {quality['head_overlap']:.2f} (Dice), edge "
        f"correlation {quality['edge_agreement']:.2f}; {quality['covered']:.0%} of the head in view"
    )


def _describe_resampling(quality: Quality) -> str:
    return f"voxels of {quality['spacing_mm']} mm, one interpolation from the scan"


def _describe_bias_correction(quality: Quality) -> str:
    return f"field spans a factor of {quality['field_span']:.2f}"


def _describe_brain(quality: Quality) -> str:
    agreed = quality.get("least_agreement")
    text = f"{quality['volume_ml']:.0f} mL; {quality['method']}"
    return text if agreed is None else f"{text}; agreement of single sequences at least {agreed:.2f} (Dice)"


def _describe_all(quality: Quality) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in quality.items())


_DONE = {
    "register": "{sequence} registered to {reference}",
    "resample": "Resampled",
    "n4": "{sequence} bias-corrected (N4)",
    "brain": "Brain extracted",
}
_MEASURED: dict[str, Callable[[Quality], str]] = {
    "register": _describe_registration,
    "resample": _describe_resampling,
    "n4": _describe_bias_correction,
    "brain": _describe_brain,
}
