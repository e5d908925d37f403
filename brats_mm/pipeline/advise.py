"""Advise on the missing sequence that would improve a segmentation most, for a result or a subset of sequences."""

from pathlib import Path
from typing import Any

from brats_mm.data.json_file import read_json
from brats_mm.domain.availability import ALL_AVAILABLE, SUBSETS, Availability, format_subset
from brats_mm.errors import OptionError
from brats_mm.io.bundle import Bundle, verify_hash
from brats_mm.outputs.report.document import describe_gains
from brats_mm.pipeline.identity import identify_model
from brats_mm.trust.assess import estimate_gains, find_gain_model, format_advice

COMPLETE = "All four sequences are available."
UNKNOWN = "The bundle has no scores for these sequences, so it cannot give advice."


def advise_result(folder: Path) -> dict[str, Any]:
    """Return the advice in the report of a segmented case.

    Args:
        folder: folder written by `brats-mm segment`, or its `report.json`.

    Raises:
        OptionError: the report is missing or contains no advice.
    """
    path = folder / "report.json" if folder.is_dir() else folder
    report = read_json(path, OptionError, "Use a folder written by `brats-mm segment`.")
    try:
        trust, sequences = report["trust"], "+".join(report["sequences_found"])
    except (KeyError, TypeError) as error:
        raise OptionError(
            f"{path} is not a report with advice. Use a folder written by this version of `brats-mm segment`."
        ) from error
    gains = trust["expected_gains"]
    return _build_document(sequences, gains, trust["advice"], complete=not report["sequences_missing"])


def advise_subset(available: Availability, bundle: Bundle) -> dict[str, Any]:
    """Return the advice for a subset of sequences, before anything was segmented.

    Returns:
        Plain values: the subset, the expected Dice before and after adding each missing sequence, and a sentence of
        advice.

    Raises:
        BundleError: the bundle is damaged.
    """
    model = find_gain_model(identify_model(bundle, verify_hash(bundle)))
    gains = () if model is None else estimate_gains(model, available)
    return _build_document(
        format_subset(available), describe_gains(gains), format_advice(gains), complete=available == ALL_AVAILABLE
    )


def parse_subset(text: str) -> Availability:
    """Read a subset of sequences such as `t1+flair` or `t1,flair`.

    Raises:
        OptionError: a name is unknown.
    """
    name = "+".join(sorted(text.lower().replace(",", "+").split("+")))
    names = {"+".join(sorted(format_subset(subset).split("+"))): subset for subset in SUBSETS}
    if name not in names:
        raise OptionError(
            f"{text} is neither a result folder nor a subset of sequences. Provide a folder written by "
            "`brats-mm segment`, or sequences such as t1+flair (t1, t1ce, t2, flair)."
        )
    return names[name]


def _build_document(sequences: str, gains: dict[str, Any], sentence: str | None, *, complete: bool) -> dict[str, Any]:
    return {
        "sequences": sequences,
        "advice": sentence or (COMPLETE if complete else UNKNOWN),
        "expected_gains": gains,
    }
