"""Render the estimate of a training run, and the fingerprint of its data, as text."""

from collections.abc import Mapping
from typing import Any

from brats_mm.domain.counting import format_count
from brats_mm.domain.modality import MODALITIES
from brats_mm.domain.regions import REGIONS


def render_estimate(document: Mapping[str, Any]) -> str:
    """Render the document of `estimate.estimate` as lines of text."""
    return "\n".join(
        [*_describe_data(document["data"]), _describe_device(document["device"]), *_describe_trainings(document)]
    )


def _describe_data(data: Mapping[str, Any]) -> list[str]:
    counts = ", ".join(f"{modality.label} {data['cases_with_sequence'][modality.value]}" for modality in MODALITIES)
    by_number = data["cases_by_number_of_sequences"]
    numbers = ", ".join(f"{cases} with {number}" for number, cases in by_number.items())
    schemes = ", ".join(f"{scheme} {cases}" for scheme, cases in data["label_schemes"].items())
    lines = [
        f"Data: {format_count(data['training_cases'], 'case')} for training, "
        f"{data['validation_cases']} for validation.",
        f"  cases with each sequence: {counts}",
        f"  cases by number of sequences: {numbers}",
        f"  label schemes: {schemes}",
        f"  shape: {_format_range(data['shape'], '.0f')}",
        f"  voxels in mm: {_format_range(data['voxel_mm'], '.3g')}",
    ]
    for region in REGIONS:
        volumes = data["volumes_ml"][region.value]
        size = f"{_format_range(volumes, '.1f')} mL" if volumes["present"] else "never"
        lines.append(
            f"  {region.value.upper()}: in {volumes['present']} of {format_count(data['cases'], 'case')}, {size}"
        )
    for modality in MODALITIES:
        ranges = data["intensities"].get(modality.value)
        if ranges:
            ranges_text = ", ".join(f"{name} {_format_range(value, '.4g')}" for name, value in ranges.items())
            lines.append(f"  intensities of {modality.label}: {ranges_text}")
    return lines


def _describe_device(device: Mapping[str, Any]) -> str:
    parts = [device["device"], *([device["name"]] if "name" in device else [])]
    parts += [format_count(device["threads"], "thread")] if "threads" in device else []
    parts += [f"{_format_gb(device['memory_bytes'])} of memory"] if "memory_bytes" in device else []
    return f"Device: {', '.join(parts)}."


def _describe_trainings(document: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, training in document["trainings"].items():
        side = " x ".join(str(side) for side in training["window"])
        amount = f"{format_count(training['epochs'], 'epoch')} of {format_count(training['steps_per_epoch'], 'step')}"
        lines += [
            f"{name[0].upper()}{name[1:]}: about {_format_hours(training['hours'])} for {amount}.",
            f"  one step, {format_count(training['batch_size'], 'window')} of {side}: {training['step_s']:.2f} s, and "
            f"{training['draw_s']:.2f} s to draw the windows. Peak memory {_format_gb(training['peak_bytes'])}.",
            f"  validation: {training['validation_s']:.2f} s per case. "
            f"Peak memory {_format_gb(training['validation_peak_bytes'])}.",
            f"  preparation: {training['prepare_s']:.2f} s per case (once).",
        ]
    return [*lines, f"All training runs together: about {_format_hours(document['hours'])}, without early stopping."]


def _format_range(spread: Mapping[str, Any], form: str) -> str:
    """Return the median, and the range over cases if they differ."""
    values = {name: spread[name] if isinstance(spread[name], list) else [spread[name]] for name in _SPREAD}
    low, middle, high = (" x ".join(format(value, form) for value in values[name]) for name in _SPREAD)
    return middle if low == high else f"{middle} ({low} to {high})"


_SPREAD = ("min", "median", "max")


def _format_gb(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 1e9:.1f} GB"


def _format_hours(hours: float) -> str:
    return format_count(max(1, round(60 * hours)), "minute") if hours < 1 else f"{hours:.1f} hours"
