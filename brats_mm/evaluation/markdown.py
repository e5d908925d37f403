"""Markdown page of an evaluation, with published results for comparison."""

from collections.abc import Mapping
from typing import Any

from brats_mm.domain.availability import Availability, describe, format_subset
from brats_mm.domain.regions import Region
from brats_mm.evaluation.published import (
    CALIBRATION,
    COUNTERINTUITIVE,
    MEANS,
    PAPER_ORDER,
    REGION_ORDER,
    Protocol,
    select_sets,
)
from brats_mm.evaluation.subset_groups import GROUP_NAMES
from brats_mm.outputs.markdown import NOTHING, format_figure, format_table

BESIDE = Protocol.THREE_FOLD_2018
"""Protocol of the published tables shown for comparison."""

UNKNOWN = "unknown"
"""Version of a program whose predictions are scored."""

METHODS = ("RFNet", "GSS", "DeMoSeg")


def render_markdown(document: Mapping[str, Any]) -> str:
    """Render an evaluation's summary document as Markdown."""
    model = document["model"]
    weights = str(model["weights_sha256"])[:12]
    parts = [
        "# Evaluation with missing sequences",
        f"{document['disclaimer']}",
        f"Model {format_model_label(model)}{f' (weights {weights})' if weights else ''}, cases: "
        f"{document['cases']}. {document['empty_policy']['sentence']} (Policy `{document['empty_policy']['name']}`.)",
        _list_failed(document),
        _list_warnings(document),
        "## Dice of each subset, in percent",
        "*raw*: as predicted. *500*: an enhancing tumour of fewer than 500 voxels is relabelled as necrosis first, "
        f"which only changes ET. Published columns were scored by others on other cases ({BESIDE.value}). They "
        "illustrate the pattern and are not a ranking.",
        _render_sets(document),
        "## Means",
        _render_means(document),
        "## Published means over the 15 subsets",
        "None of these was scored by this software. Compare rows only if their protocols and cases are the same.",
        _render_published(document),
        "## Other scores, means over the subsets (raw)",
        _render_others(document),
        "## Calibration and counter-intuitive pairs, in percent",
        "Means over subsets of the means over cases. Published rows: SimMLM (ICCV 2025), second-hand. Its "
        "definitions are unknown and may differ from those used here.",
        _render_calibration(document),
        "## Definitions",
        "\n".join(f"- **{name}**: {text}" for name, text in document["definitions"].items()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def format_model_label(model: Mapping[str, Any]) -> str:
    """Return name and version of an evaluated model. Predictions of other programs have no known version."""
    return f"{model['name']}" if model["version"] == UNKNOWN else f"{model['name']} {model['version']}"


def _render_sets(document: Mapping[str, Any]) -> str:
    peers = [row for row in select_sets(BESIDE) if row.method in METHODS]
    head = ["available", "ET raw", "ET 500", "TC", "WT"]
    head += [f"{region.value.upper()} {peer.method} (published)" for region in REGION_ORDER for peer in peers]
    rows = []
    for subset in PAPER_ORDER:
        measured = [
            _format_dice(document, subset, Region.ET, "raw"),
            _format_dice(document, subset, Region.ET, "et500"),
        ]
        measured += [_format_dice(document, subset, region, "raw") for region in (Region.TC, Region.WT)]
        published = [f"{peer.value(subset, region):.2f}" for region in REGION_ORDER for peer in peers]
        rows.append([describe(subset), *measured, *published])
    return format_table(head, rows)


def _render_means(document: Mapping[str, Any]) -> str:
    rows = []
    for key, name in GROUP_NAMES.items():
        raw, ruled = document["means"]["raw"][key], document["means"]["et500"][key]
        cells = [_format_percent(raw["et"]["dice"]), _format_percent(ruled["et"]["dice"])]
        rows.append([f"{name} ({raw['wt']['sets']})", *cells, *(_format_percent(raw[r]["dice"]) for r in ("tc", "wt"))])
    return format_table(["mean Dice over (subsets)", "ET raw", "ET 500", "TC", "WT"], rows)


def _render_published(document: Mapping[str, Any]) -> str:
    measured = []
    for rule, name in (("raw", "**ours**, raw"), ("et500", "**ours**, ET rule of 500 voxels")):
        means = document["means"][rule]["all_sets"]
        dice = [_format_percent(means[region.value]["dice"]) for region in REGION_ORDER]
        measured.append([name, *dice, f"{document['cases']} cases, {means['wt']['sets']} sets", "this evaluation"])
    published = [
        [row.method, f"{row.et:.2f}", f"{row.tc:.2f}", f"{row.wt:.2f}", row.protocol.value, f"published; {row.source}"]
        for row in MEANS
    ]
    return format_table(["method", "ET", "TC", "WT", "protocol", "source"], [*measured, *published])


def _render_others(document: Mapping[str, Any]) -> str:
    means = document["means"]["raw"]["all_sets"]
    kinds = (
        ("HD95, mm", "hd95_mm", 1.0),
        ("sensitivity, %", "sensitivity", 100.0),
        ("precision, %", "precision", 100.0),
        ("lesion-wise Dice, %", "lesion_dice", 100.0),
        ("lesion-wise HD95, mm", "lesion_hd95_mm", 1.0),
        ("AUROC of entropy for errors, %", "error_auroc", 100.0),
        ("QU-BraTS score, %", "qu_brats", 100.0),
    )
    rows = [
        [name, *(format_figure(means[region.value][key], scale=scale) for region in REGION_ORDER)]
        for name, key, scale in kinds
    ]
    return format_table(["score", "ET", "TC", "WT"], rows)


def _render_calibration(document: Mapping[str, Any]) -> str:
    means, worse = document["means"]["raw"]["all_sets"], document["counterintuitive"]["raw"]
    rows = [
        ["ours", name, *(_format_percent(means[region.value][key]) for region in REGION_ORDER)] for name, key in _ERRORS
    ]
    for name, key in _WORSE:
        rows.append(["ours", name, *(_format_percent(worse[region.value][key]) for region in REGION_ORDER)])
    for method, errors in CALIBRATION.items():
        for name, key in _ERRORS[1:]:
            rows.append([f"{method} (published)", name, *(f"{errors[key][region]:.2f}" for region in REGION_ORDER)])
        rates = [f"{COUNTERINTUITIVE[method][region]:.2f}" for region in REGION_ORDER]
        rows.append([f"{method} (published)", "counter-intuitive", *rates])
    return format_table(["method", "measure", "ET", "TC", "WT"], rows)


_ERRORS = (("class-wise ECE", "class_ece"), ("ECE", "ece"), ("SCE", "sce"))
_WORSE = (("counter-intuitive", "rate"), ("counter-intuitive by more than 1 point", "rate_tolerance_1_point"))


def _list_failed(document: Mapping[str, Any]) -> str:
    failed = document["failed"]
    if not failed:
        return ""
    return "Failed cases, not included in the scores:\n\n" + "\n".join(
        f"- {name}: {why}" for name, why in failed.items()
    )


def _list_warnings(document: Mapping[str, Any]) -> str:
    lines = [f"- {name}: {line}" for name, warnings in document.get("warnings", {}).items() for line in warnings]
    return "Warnings:\n\n" + "\n".join(lines) if lines else ""


def _format_dice(document: Mapping[str, Any], subset: Availability, region: Region, rule: str) -> str:
    scores = document["sets"].get(format_subset(subset))
    return _format_percent(scores[rule][region.value]["dice"]["mean"]) if scores else NOTHING


def _format_percent(value: float | None) -> str:
    return format_figure(value, scale=100)
