"""The table of the report page on how raw scans were made ready: what was done, what was measured, what is doubted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from brats_mm.domain.modality import Modality

Quality = Mapping[str, Any]


@dataclass(frozen=True)
class StepRow:
    """A step as the page shows it.

    Attributes:
        done: what was done.
        measured: what was measured of it, in words and numbers.
        is_doubted: whether it was warned of.
        seconds: how long it took.
    """

    done: str
    measured: str
    is_doubted: bool
    seconds: float


def step_rows(preparation: Mapping[str, Any] | None) -> list[StepRow]:
    """The steps that `report.json` tells of under `preparation`; none where the input was left alone."""
    if not preparation or "reference" not in preparation:
        return []
    reference = Modality(preparation["reference"]).label
    return [_row(step, reference) for step in preparation["steps"]]


def _row(step: Mapping[str, Any], reference: str) -> StepRow:
    kind, _, sequence = str(step["name"]).partition("_")
    label = Modality(sequence).label if sequence else ""
    done = _DONE.get(kind, step["name"]).format(sequence=label, reference=reference)
    tell = _TOLD.get(kind, _all)
    return StepRow(done, tell(step["quality"]), bool(step["warnings"]), float(step["seconds"]))


def _registration(quality: Quality) -> str:
    moved = f"moved by {quality['shift_mm']:.1f} mm, turned by {quality['rotation_deg']:.1f}°"
    if not quality["shift_mm"] and not quality["rotation_deg"]:
        moved = "left where it lay"
    return (
        f"{moved}; mutual information {quality['information_before_nats']:.2f} before, "
        f"{quality['information_nats']:.2f} nats after; heads overlap to {quality['head_overlap']:.2f} (Dice), "
        f"edges correlate to {quality['edge_agreement']:.2f}; {quality['covered']:.0%} of the head in view"
    )


def _resampling(quality: Quality) -> str:
    return f"voxels of {quality['spacing_mm']} mm, one interpolation from the scan"


def _evening(quality: Quality) -> str:
    return f"field spans a factor of {quality['field_span']:.2f}"


def _brain(quality: Quality) -> str:
    agreed = quality.get("least_agreement")
    said = f"{quality['volume_ml']:.0f} mL; {quality['method']}"
    return said if agreed is None else f"{said}; each sequence alone agrees to at least {agreed:.2f} (Dice)"


def _all(quality: Quality) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in quality.items())


_DONE = {
    "register": "{sequence} registered to {reference}",
    "resample": "Resampled",
    "n4": "{sequence} evened out (N4)",
    "brain": "Brain extracted",
}
_TOLD: dict[str, Callable[[Quality], str]] = {
    "register": _registration,
    "resample": _resampling,
    "n4": _evening,
    "brain": _brain,
}
