"""Update a bundle's model card and expected performance from an evaluation of its weights."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brats_mm.domain.availability import Availability, describe, format_subset
from brats_mm.errors import BundleError, OptionError
from brats_mm.evaluation.published import PAPER_ORDER, REGION_ORDER
from brats_mm.evaluation.tables import read_summary
from brats_mm.io.bundle import Bundle, verify_hash
from brats_mm.outputs.folder import OutputFolder
from brats_mm.outputs.markdown import NOTHING, format_figure, format_table
from brats_mm.trust.expected_performance import EXPECTED_DICE, build_expected_dice_document

CARD = "docs/README.md"
BEGIN = "<!-- figures: `brats-mm bundle card` writes the tables between these markers -->"
END = "<!-- end of figures -->"

_MEANS = {
    "all_sets": "mean of the 15",
    "full_set": "all four",
    "single_sequences": "mean of the single sequences",
    "with_t1ce": "mean of the 8 with T1ce",
    "without_t1ce": "mean of the 7 without T1ce",
}
_MEASURES = {
    "class_ece": "class-wise expected calibration error, %",
    "ece": "expected calibration error, %",
    "sensitivity": "sensitivity, %",
    "precision": "precision, %",
    "lesion_dice": "lesion-wise Dice, %",
    "error_auroc": "AUROC of entropy for errors, %",
    "qu_brats": "QU-BraTS score, %",
}
_WORSE = {
    "rate": "counter-intuitive rate over the 50 nested pairs, %",
    "rate_tolerance_1_point": "the same, counting losses of more than 1 point, %",
}


def render_figures(evaluation: Mapping[str, Any]) -> str:
    """Render the content of an evaluation's `summary.json` as two Markdown tables."""
    sets = [[describe(subset), *_format_set(evaluation, subset)] for subset in PAPER_ORDER]
    means = [[f"**{name}**", *_format_mean(evaluation, key)] for key, name in _MEANS.items()]
    measures, worse = evaluation["means"]["raw"]["all_sets"], evaluation["counterintuitive"]["raw"]
    rows = [
        [name, *(_format_percent(figures[region.value].get(key)) for region in REGION_ORDER)]
        for names, figures in ((_MEASURES, measures), (_WORSE, worse))
        for key, name in names.items()
    ]
    dice = format_table(["available", "ET", "ET, 500-voxel rule", "TC", "WT", "HD95 WT, mm"], [*sets, *means])
    return dice + "\n\n" + format_table(["measure (mean over the 15 subsets)", "ET", "TC", "WT"], rows)


def replace_figures(card: str, figures: str) -> str:
    """Replace the figures between the card's markers. Append a section if the card has no markers.

    Args:
        card: text of the model card.
        figures: Markdown tables to insert.
    """
    block = f"{BEGIN}\n{figures}\n{END}"
    before, begin, remainder = card.partition(BEGIN)
    _, end, after = remainder.partition(END)
    if not begin or not end:
        return f"{card.rstrip()}\n\n## Figures\n\n{block}\n" if card.strip() else f"# Model card\n\n{block}\n"
    return before + block + after


def _format_set(evaluation: Mapping[str, Any], subset: Availability) -> Sequence[str]:
    scores = evaluation["sets"].get(format_subset(subset))
    if not scores:
        return (NOTHING,) * 5
    raw, ruled = scores["raw"], scores["et500"]
    dice = [set_scores["dice"]["mean"] for set_scores in (raw["et"], ruled["et"], raw["tc"], raw["wt"])]
    return [*map(_format_percent, dice), format_figure(raw["wt"]["hd95_mm"]["mean"], 1)]


def _format_mean(evaluation: Mapping[str, Any], key: str) -> Sequence[str]:
    raw, ruled = evaluation["means"]["raw"][key], evaluation["means"]["et500"][key]
    dice = [scores["dice"] for scores in (raw["et"], ruled["et"], raw["tc"], raw["wt"])]
    return [*map(_format_percent, dice), format_figure(raw["wt"]["hd95_mm"], 1)]


def _format_percent(value: float | None) -> str:
    return format_figure(value, 1, scale=100)


@dataclass(frozen=True)
class UpdatedCard:
    """The two updated files, and the number of cases and sequence subsets behind their figures."""

    card: Path
    expected_dice: Path
    cases: int
    subsets: int


def update_card(evaluation: Path, bundle: Bundle) -> UpdatedCard:
    """Write the figures of an evaluation into `docs/README.md` and `docs/expected_dice.json` of a bundle.

    Only the part between the card's markers is replaced. Reports quote the row of their sequences.

    Args:
        evaluation: folder written by `brats-mm evaluate`.
        bundle: the bundle whose weights were evaluated.

    Raises:
        InputError: the folder contains no evaluation, or one of other weights.
        BundleError: the bundle is damaged.
        OutputError: the bundle is not writable.
    """
    summary = read_checked_summary(evaluation, bundle)
    document = build_expected_dice_document(summary)
    path = bundle.root / CARD
    card = read_page(path)
    with OutputFolder(bundle.root) as out:
        out.staged(CARD).write_text(replace_figures(card, render_figures(summary)), encoding="utf-8")
        out.staged(EXPECTED_DICE).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return UpdatedCard(path, bundle.root / EXPECTED_DICE, int(summary["cases"]), len(document["dice"]))


def read_checked_summary(evaluation: Path, bundle: Bundle) -> dict[str, Any]:
    """Read an evaluation's summary, and check that the evaluated weights are those of a bundle.

    Args:
        evaluation: folder written by `brats-mm evaluate`.
        bundle: bundle with the weights.

    Raises:
        OptionError: the folder contains no evaluation, or one of other weights.
        BundleError: the bundle is damaged.
    """
    summary, digest = read_summary(evaluation), verify_hash(bundle)
    evaluated = str(summary["model"]["weights_sha256"])
    if evaluated != digest:
        raise OptionError(
            f"{evaluation} was computed with weights (SHA-256 {evaluated[:12]}...) other than those of the bundle "
            f"{bundle.root} ({digest[:12]}...). Evaluate this bundle with brats-mm evaluate --bundle."
        )
    return summary


def read_page(path: Path) -> str:
    """Read a Markdown page, which is empty if it does not exist.

    Raises:
        BundleError: the page cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} cannot be read ({error}). Restore it, or delete it to start a new one.") from error
