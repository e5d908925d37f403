"""Print the results of a segmented case."""

from typing import Any

from brats_mm.cli.output import Console
from brats_mm.domain.display import format_ml


def say_result(report: dict[str, Any], console: Console) -> None:
    """Print warnings, volumes, times and the disclaimer of a `report.json`."""
    for warning in report["warnings"]:
        console.warn(warning)
    for name, region in report["regions"].items():
        entropy = region["mean_entropy_inside_nats"]
        sure = "empty" if entropy is None else f"mean entropy {entropy:.3f} nats"
        if region.get("estimated_dice") is not None:
            sure += f", expected Dice {region['estimated_dice']:.2f} ({region['reliability']})"
        console.say(f"{name.upper()} {region['name']:<17}{format_ml(region['volume_ml']):>8} mL, {sure}")
    seconds = ", ".join(f"{stage} {value:.1f} s" for stage, value in report["run"]["seconds"].items())
    console.say(f"on {report['run']['device']}: {seconds}")
    console.say(report["statement"])
