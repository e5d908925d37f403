"""Update a bundle's model card and expected performance from an evaluation of its weights."""

import json
from dataclasses import dataclass
from pathlib import Path

from brats_mm.errors import BundleError, OptionError
from brats_mm.evaluation.tables import read_summary
from brats_mm.io.bundle import Bundle, checked_hash
from brats_mm.outputs.folder import OutputFolder
from brats_mm.packaging.card_figures import CARD, figures_of, with_figures
from brats_mm.trust.expected_performance import EXPECTED_DICE, expected_dice_document


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
        InputError: the folder holds no evaluation, or one of other weights.
        BundleError: the bundle is damaged.
        OutputError: the bundle is not writable.
    """
    summary, digest = read_summary(evaluation), checked_hash(bundle)
    evaluated = str(summary["model"]["weights_sha256"])
    if evaluated != digest:
        raise OptionError(
            f"{evaluation} was computed with weights (SHA-256 {evaluated[:12]}...) other than those of the bundle "
            f"{bundle.root} ({digest[:12]}...). Evaluate this bundle with brats-mm evaluate --bundle."
        )
    document = expected_dice_document(summary)
    path = bundle.root / CARD
    try:
        card = path.read_text(encoding="utf-8") if path.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} cannot be read ({error}). Restore it, or delete it to start a new card.") from error
    with OutputFolder(bundle.root) as out:
        out.staged(CARD).write_text(with_figures(card, figures_of(summary)), encoding="utf-8")
        out.staged(EXPECTED_DICE).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return UpdatedCard(path, bundle.root / EXPECTED_DICE, int(summary["cases"]), len(document["dice"]))
