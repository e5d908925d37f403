"""Read the findings of a run from its JSON files: volumes, importance, uncertain regions, warnings."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from BratsMMLib.display import format_interval_ml, format_ml, format_percent
from BratsMMLib.failures import Refused
from BratsMMLib.sequences import SEQUENCES, Sequence

NOT_FOR_DIAGNOSIS = "Research software. Not a medical device; not for diagnosis or treatment decisions."
KEPT_JOB = "job.txt"
"""File with the ID of a kept job, next to the results."""
REGIONS = ("wt", "tc", "et")
REGION_NAMES = {"wt": "Whole tumour", "tc": "Tumour core", "et": "Enhancing tumour"}


@dataclass(frozen=True)
class VolumeRow:
    """A row of the volumes table. Unknown values are None."""

    region: str
    volume_ml: float
    range_ml: tuple[float, float] | None
    entropy_nats: float | None
    expected_dice: float | None = None
    reliability: str | None = None
    advice: str | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """Return the row's texts."""
        spread = "" if self.range_ml is None else format_interval_ml(self.range_ml)
        unsure = "none found" if self.entropy_nats is None else f"{self.entropy_nats:.2f}"
        dice = "" if self.expected_dice is None else format_percent(self.expected_dice)
        return REGION_NAMES[self.region], format_ml(self.volume_ml), spread, unsure, dice, self.reliability or ""


VOLUME_HEADS = ("Region", "mL", "Interval, mL", "Uncertainty, nats", "Expected Dice", "Reliability")


@dataclass(frozen=True)
class Bar:
    """A bar of the importance chart: the fraction of a sequence in a region, 0 to 1, or None for a missing sequence."""

    sequence: Sequence
    region: str
    share: float | None


@dataclass(frozen=True)
class UncertainRegion:
    """An uncertain region in patient space."""

    rank: int
    region: str
    position_mm_ras: tuple[float, float, float]
    volume_ml: float
    mean_entropy_nats: float

    @property
    def label(self) -> str:
        """Return a short description."""
        return f"{self.rank}: {self.region.upper()}, {format_ml(self.volume_ml)} mL"

    @property
    def sentence(self) -> str:
        """Return the text for the line under the buttons."""
        unsure = f"{self.mean_entropy_nats:.2f} nats (maximum {math.log(2):.2f})"
        return (
            f"{REGION_NAMES[self.region]}: {format_ml(self.volume_ml)} mL are uncertain here, with a mean "
            f"entropy of {unsure}."
        )


@dataclass(frozen=True)
class LeftOut:
    """Change of a region when a sequence is left out."""

    sequence: Sequence
    region: str
    volume_change_ml: float
    dice: float


@dataclass(frozen=True)
class CaseResult:
    """Findings of a case.

    `advice` names the sequence whose addition would help most, if one is missing. `statement` is about the coverage of
    the intervals. `left_out` is empty unless measured.
    `job` is the ID of the job if the service kept it, for a correction.
    """

    folder: Path
    used: tuple[Sequence, ...]
    missing: tuple[Sequence, ...]
    volumes: tuple[VolumeRow, ...]
    bars: tuple[Bar, ...]
    areas: tuple[UncertainRegion, ...]
    warnings: tuple[str, ...]
    model: str
    advice: str | None = None
    statement: str | None = None
    left_out: tuple[LeftOut, ...] = ()
    job: str | None = None

    @property
    def messages(self) -> tuple[str, ...]:
        """Return the lines of text about the case: summary, warnings, advice, statement, left-out sequences."""
        warnings = (f"Warning: {item}" for item in self.warnings)
        sentences = (item for item in (self.advice, self.statement) if item is not None)
        return (self.summary, *warnings, *sentences, *self._format_left_out())

    def _format_left_out(self) -> tuple[str, ...]:
        lines = []
        for sequence in self.used:
            changes = ", ".join(
                f"{item.region.upper()} {_format_change(item.volume_change_ml)} mL (Dice {format_percent(item.dice)})"
                for item in self.left_out
                if item.sequence is sequence
            )
            if changes:
                lines.append(f"Without {sequence.label}: {changes}.")
        return tuple(lines)

    @property
    def summary(self) -> str:
        """Return one line with the used sequences and the model."""
        used = ", ".join(sequence.label for sequence in self.used)
        missing = ", ".join(sequence.label for sequence in self.missing) or "none"
        return f"Sequences used: {used}. Missing: {missing}. Model: {self.model}."


def _format_change(change_ml: float) -> str:
    size = format_ml(abs(change_ml))
    return size if float(size) == 0 else f"{'-' if change_ml < 0 else '+'}{size}"


def registered_name(sequence: Sequence) -> str:
    """Return the file name of a raw scan on the grid of the segmentation."""
    return f"registered_{sequence.value}.nii.gz"


def read_result(folder: Path) -> CaseResult:
    """Read a result folder. Reports of older versions, without uncertain regions, are accepted.

    Raises:
        Refused: the folder does not hold results of this software.
    """
    try:
        report, importance = (_json(folder / name) for name in ("report.json", "importance.json"))
        return _result(folder, report, importance)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(f"The results in {folder.name} cannot be read ({error}). Run the case again.") from error


def _json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text("utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} is not a JSON object")
    return content


def _result(folder: Path, report: dict[str, Any], importance: dict[str, Any]) -> CaseResult:
    used = tuple(Sequence(name) for name in report["sequences_found"])
    model = report.get("model") or {}
    return CaseResult(
        folder=folder,
        used=used,
        missing=tuple(sequence for sequence in SEQUENCES if sequence not in used),
        volumes=tuple(_make_row(region, report["regions"][region]) for region in REGIONS),
        bars=tuple(
            Bar(sequence, region, float(importance["weights"][sequence.value][region]) if sequence in used else None)
            for sequence in SEQUENCES
            for region in REGIONS
            if importance["weights"]  # empty for a model without a gate
        ),
        areas=tuple(_area(item) for item in report.get("uncertain_regions") or ()),
        warnings=tuple(str(item) for item in report.get("warnings") or ()),
        model=f"{model.get('name', 'model')} {model.get('version', '')}".strip(),
        job=_read_kept_job(folder),
        advice=(report.get("trust") or {}).get("advice"),
        statement=(report.get("trust") or {}).get("statement"),
        left_out=tuple(
            LeftOut(sequence, region, float(item["volume_change_ml"]), float(item["dice"]))
            for sequence in used
            for region, item in ((importance.get("leave_one_out") or {}).get("changes") or {})
            .get(sequence.value, {})
            .items()
        ),
    )


def _read_kept_job(folder: Path) -> str | None:
    path = folder / KEPT_JOB
    return path.read_text(encoding="utf-8").strip() or None if path.is_file() else None


def _make_row(region: str, values: dict[str, Any]) -> VolumeRow:
    spread, entropy = values.get("volume_interval_ml"), values.get("mean_entropy_inside_nats")
    if spread is None:
        spread = values.get("volume_range_ml")
    dice, grade = values.get("expected_dice", values.get("estimated_dice")), values.get("reliability")
    return VolumeRow(
        region=region,
        volume_ml=float(values["volume_ml"]),
        range_ml=None if spread is None else (float(spread[0]), float(spread[1])),
        entropy_nats=None if entropy is None else float(entropy),
        expected_dice=None if dice is None else float(dice),
        reliability=None if grade is None else str(grade),
        advice=values.get("reliability_advice"),
    )


def _area(values: dict[str, Any]) -> UncertainRegion:
    right, anterior, superior = (float(value) for value in values["position_mm_ras"])
    return UncertainRegion(
        rank=int(values["rank"]),
        region=str(values["region"]),
        position_mm_ras=(right, anterior, superior),
        volume_ml=float(values["volume_ml"]),
        mean_entropy_nats=float(values["mean_entropy_nats"]),
    )


@dataclass
class Stepper:
    """Steps through the uncertain regions in a loop."""

    areas: tuple[UncertainRegion, ...]
    at: int = -1

    def next(self) -> UncertainRegion | None:
        """Return the next uncertain region, and the first after the last."""
        return self._go(1)

    def previous(self) -> UncertainRegion | None:
        """Return the previous uncertain region, and the last before the first."""
        return self._go(-1 if self.at >= 0 else 0)

    def _go(self, step: int) -> UncertainRegion | None:
        if not self.areas:
            return None
        self.at = (self.at + step) % len(self.areas)
        return self.areas[self.at]
