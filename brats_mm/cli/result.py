"""Print the results of a segmented case."""

from collections.abc import Callable, Sequence
from typing import Any

from brats_mm.cli.output import Console
from brats_mm.domain.display import format_interval_ml, format_ml, format_percent, format_percents


def print_result(report: dict[str, Any], console: Console) -> None:
    """Print warnings, volumes, times and the disclaimer of a `report.json`."""
    for warning in report["warnings"]:
        console.warn(warning)
    for name, region in report["regions"].items():
        entropy = region["mean_entropy_inside_nats"]
        interval = _format_interval(region.get("volume_interval_ml"), format_interval_ml)
        parts = [f"{format_ml(region['volume_ml']):>8} mL{interval}"]
        parts.append("empty" if entropy is None else f"mean entropy {entropy:.2f} nats")
        expected = region.get("expected_dice", region.get("estimated_dice"))
        if expected is not None:
            interval = _format_interval(region.get("expected_dice_interval"), format_percents)
            parts += [f"expected Dice {format_percent(expected)}{interval}", region["reliability"]]
        console.say(f"{name.upper()} {region['name']:<17}{', '.join(parts)}")
    for sentence in (report.get("trust", {}).get("advice"), report.get("trust", {}).get("statement")):
        if sentence is not None:
            console.say(sentence)
    seconds = ", ".join(f"{stage} {value:.1f} s" for stage, value in report["run"]["seconds"].items())
    console.say(f"on {report['run']['device']}: {seconds}")
    console.say(report["disclaimer"])


def _format_interval(limits: Sequence[float] | None, as_text: Callable[[Sequence[float]], str]) -> str:
    return "" if limits is None else f" ({as_text(limits)})"
