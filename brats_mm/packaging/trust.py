"""Fit a trust profile to an evaluation, and write it and its figures into a bundle and a documentation page."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brats_mm.domain.trust_profile import TrustProfile
from brats_mm.evaluation.tables import WEIGHTS, WeightRow, read_rows, read_trust_records, to_plain_document
from brats_mm.evaluation.trust_figures import (
    collect_reliability_means,
    collect_reliability_points,
    compute_trust_figures,
)
from brats_mm.evaluation.trust_markdown import RELIABILITY_PLOT, render_trust_blocks
from brats_mm.evaluation.trust_plot import draw_reliability_svg
from brats_mm.io.bundle import Bundle
from brats_mm.outputs.folder import OutputFolder, convert_output_errors
from brats_mm.packaging.card import CARD, read_checked_summary, read_page
from brats_mm.trust.fit import fit_profile
from brats_mm.trust.left_out import predict_left_out
from brats_mm.trust.profile_file import TRUST_PROFILE, build_profile_document

FIGURES = "docs/trust_figures.json"


@dataclass(frozen=True)
class UpdatedTrust:
    """Updated files and the fitted profile.

    Attributes:
        files: the profile, its figures, the model card, and the page with its plot if given.
        profile: the fitted profile.
        figures: its figures, as in `docs/trust_figures.json`.
    """

    files: tuple[Path, ...]
    profile: TrustProfile
    figures: Mapping[str, Any]


def update_trust(evaluation: Path, bundle: Bundle, page: Path | None = None) -> UpdatedTrust:
    """Write `models/trust.json`, `docs/trust_figures.json` and the card's table of a bundle.

    Args:
        evaluation: folder that `brats-mm evaluate` wrote, over all subsets.
        bundle: bundle whose weights were evaluated.
        page: Markdown page whose marked tables are replaced too. Its plot is written into `pictures` in the same
            folder.

    Raises:
        OptionError: the folder contains no evaluation with `trust.csv`, one of other weights, or too few cases.
        BundleError: the bundle is damaged.
        OutputError: a file cannot be written.
    """
    model = read_checked_summary(evaluation, bundle)["model"]
    records = read_trust_records(evaluation)
    profile, left_out = fit_profile(records), predict_left_out(records)
    figures = {
        "model": {key: model[key] for key in ("name", "version", "weights_sha256")},
        **compute_trust_figures(records, read_rows(evaluation / WEIGHTS, WeightRow), left_out),
    }
    blocks = render_trust_blocks(figures, profile)
    card = read_page(bundle.root / CARD)
    if _begin("summary") not in card:
        card = f"{card.rstrip()}\n\n## Reliability of single results\n\n{_begin('summary')}\n{END}\n"
    with OutputFolder(bundle.root) as out:
        for name, document in {
            TRUST_PROFILE: build_profile_document(profile, model),
            FIGURES: to_plain_document(figures),
        }.items():
            out.staged(name).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        out.staged(CARD).write_text(replace_blocks(card, blocks), encoding="utf-8")
    files = [bundle.root / name for name in (TRUST_PROFILE, FIGURES, CARD)]
    if page is not None:
        plot = page.parent / RELIABILITY_PLOT
        with convert_output_errors(page):
            page.write_text(replace_blocks(read_page(page), blocks), encoding="utf-8")
            plot.parent.mkdir(parents=True, exist_ok=True)
            plot.write_text(
                draw_reliability_svg(collect_reliability_points(left_out), collect_reliability_means(figures)),
                encoding="utf-8",
            )
        files += [page, plot]
    return UpdatedTrust(tuple(files), profile, figures)


END = "<!-- end of trust -->"


def _begin(name: str, writer: str = "brats-mm bundle trust-profile") -> str:
    return f"<!-- trust {name}: `{writer}` writes this table -->"


def replace_blocks(text: str, blocks: Mapping[str, str], writer: str = "brats-mm bundle trust-profile") -> str:
    """Replace the content between the marks of each block. Blocks without marks are skipped.

    Args:
        text: a page.
        blocks: name -> content.
        writer: command in the marks.
    """
    for name, block in blocks.items():
        before, begin, remainder = text.partition(_begin(name, writer))
        _, end, after = remainder.partition(END)
        if begin and end:
            text = f"{before}{begin}\n{block}\n{END}{after}"
    return text
