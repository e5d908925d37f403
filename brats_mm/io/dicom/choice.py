"""Choose the series of a study for T1, T1ce, T2 and FLAIR. Leave the choice between equally good series to the user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.errors import CaseError, OptionError
from brats_mm.io.dicom.facts import USABLE, Verdict
from brats_mm.io.dicom.scan import Study, matches_uid
from brats_mm.io.dicom.series import Series

THIN_MM = 1.6
WHOLE_HEAD_MM = 90.0
LEAVE_OUT = "none"
"""Value of an override that omits the sequence."""
_CLOSE_MARGIN = 0.1


@dataclass(frozen=True, eq=False)
class Choice:
    """Chosen series of each sequence.

    Attributes:
        chosen: series by sequence.
        reasons: reason for the choice, by sequence.
        passed_over: reason for each rejected series, by label.
        notes: notes for readers of the results.
        ties: equally good series, by ambiguous sequence.
    """

    chosen: Mapping[Modality, Series]
    reasons: Mapping[Modality, str]
    passed_over: Mapping[str, str]
    notes: tuple[str, ...] = ()
    ties: Mapping[Modality, tuple[Series, ...]] | None = None


def choose(study: Study, overrides: Mapping[Modality, str] | None = None) -> Choice:
    """Choose a series for each sequence. `require_unambiguous` turns ties into an error.

    Args:
        study: study to choose from.
        overrides: series by sequence as named by the user (a UID, its start or end, or a label), or `none` to omit the
            sequence.

    Raises:
        OptionError: an override matches no series, several, or an unreadable one.
    """
    labels = {modality: label for modality, label in (overrides or {}).items() if label is not None}
    forced = {
        modality: find_series(study, label, modality)
        for modality, label in labels.items()
        if label.lower() != LEAVE_OUT
    }
    _check_apart(forced)
    forced_ids = {id(series) for series in forced.values()}
    selected, reasons = dict(forced), dict.fromkeys(forced, "selected by the user")
    ties: dict[Modality, tuple[Series, ...]] = {}
    open_ones = [series for series in study.series if id(series) not in forced_ids]
    late, notes = _find_late_t1(study.series)
    for modality in MODALITIES:
        if modality in labels:
            continue
        candidates = [item for item in open_ones if _fits(item, modality) and id(item) not in late]
        if not candidates:
            continue
        best = sorted(candidates, key=_rank, reverse=True)
        equal = tuple(item for item in best if _is_equal(item, best[0]))
        if len(equal) > 1:
            ties[modality] = equal
        else:
            selected[modality], reasons[modality] = best[0], _explain_choice(best[0], best[1:])
    ordered = {modality: selected[modality] for modality in MODALITIES if modality in selected}
    passed_over = {
        item.label: _explain_rejection(item, ordered, late, ties)
        for item in study.series
        if item not in ordered.values()
    }
    notes = (*notes, *_note_left_out(study, ordered), *_suggest_series(study, ordered, ties))
    return Choice(ordered, reasons, passed_over, notes, ties)


def require_unambiguous(choice: Choice) -> Choice:
    """Return the choice if no sequence is ambiguous.

    Raises:
        CaseError: several series are equally good, or there is none. The message lists them and explains how to select
            one.
    """
    if choice.ties:
        conflicts = "; ".join(
            f"{modality.label} could be {' or '.join(series.title for series in equal)}"
            for modality, equal in choice.ties.items()
        )
        first, equal = next(iter(choice.ties.items()))
        raise CaseError(
            f"Several series are equally good: {conflicts}. Select one, for example "
            f"--{first.value} {equal[0].label}, or --{first.value} {LEAVE_OUT} to omit the sequence."
        )
    if not choice.chosen:
        passed_over = "; ".join(f"…{label}: {reason}" for label, reason in list(choice.passed_over.items())[:10])
        raise CaseError(
            f"No series of the study was recognised as T1, T1ce, T2 or FLAIR: {passed_over}. "
            "Select the series, for example with --t1ce and the end of its UID. brats-mm inspect lists them."
        )
    return choice


def find_series(study: Study, label: str, modality: Modality) -> Series:
    """Return the series selected by the user.

    Args:
        study: study to search.
        label: UID of the series, its start or end, or its label.
        modality: sequence that it is selected for, for messages.

    Raises:
        OptionError: no series or several match, or the matching one cannot be read.
    """
    uid, _, part = label.strip().partition("#")
    matches = [
        series
        for series in study.series
        if matches_uid(series.identity.series_uid, uid) and part in ("", str(series.part))
    ]
    if not matches:
        listed = ", ".join(f"…{series.label}" for series in study.series[:20])
        raise OptionError(
            f"--{modality.value} matches no series of the study: no UID starts or ends with {label!r}. Available "
            f"series: {listed}."
        )
    if len(matches) > 1:
        titles = " or ".join(series.title for series in matches[:6])
        raise OptionError(
            f"--{modality.value} {label!r} matches {titles}. Provide the full label of one of them, including any #."
        )
    if not matches[0].is_readable:
        fault = matches[0].layout.fault
        raise OptionError(
            f"--{modality.value} selects {matches[0].title}, which cannot be used: {fault}. Send the series again, or "
            "select another."
        )
    return matches[0]


def _check_apart(forced: Mapping[Modality, Series]) -> None:
    modality_of_series: dict[int, Modality] = {}
    for modality, series in forced.items():
        twin = modality_of_series.setdefault(id(series), modality)
        if twin is not modality:
            raise OptionError(
                f"{series.title} was selected as {twin.label} and as {modality.label}. Select a different series for "
                "each."
            )


def _fits(series: Series, modality: Modality) -> bool:
    return series.verdict.modality is modality and series.verdict.confidence >= USABLE and series.is_readable


def _find_late_t1(series: Sequence[Series]) -> tuple[set[int], tuple[str, ...]]:
    """Return T1 series that do not mention contrast but started after one with contrast, and a note for each."""
    started = [
        item.facts.acquired_s
        for item in series
        if item.verdict.modality is Modality.T1CE and item.facts.acquired_s is not None and item.verdict.contrast_stated
    ]
    if not started:
        return set(), ()
    late = [
        item
        for item in series
        if item.verdict.modality is Modality.T1
        and not item.verdict.contrast_stated
        and item.facts.acquired_s is not None
        and item.facts.acquired_s > min(started)
    ]
    notes = tuple(
        f"S{item.name[1:]} was not used as T1: it does not mention contrast, but started after a series with contrast."
        for item in late
    )
    return {id(item) for item in late}, notes


def _rank(series: Series) -> tuple[float, ...]:
    """Return the sort key of a series among its kind, most important criterion first. See `_MERITS`."""
    facts = series.facts
    thin = max(facts.spacing_mm) <= THIN_MM
    return (
        float(not series.annotation),
        float(series.is_complete),
        float(facts.extent_mm >= WHOLE_HEAD_MM),
        float(thin),
        float(series.verdict.is_confident),
        float(thin or facts.orientation == "axial"),
        float("ORIGINAL" in facts.image_type[:1]),
        float(not {"DIS2D", "DIS3D", "NORM"}.isdisjoint(facts.image_type)),
        float("FS" not in facts.scan_options),
        float(facts.slices),
    )


def _is_equal(series: Series, best: Series) -> bool:
    """Return whether two series differ by at most a few slices."""
    if series is best:
        return True
    close = abs(series.facts.slices - best.facts.slices) <= _CLOSE_MARGIN * best.facts.slices
    alike = series.facts.orientation == best.facts.orientation or max(series.facts.spacing_mm) <= THIN_MM
    return _rank(series)[:-1] == _rank(best)[:-1] and close and alike


def _explain_choice(best: Series, rivals: Sequence[Series]) -> str:
    if not rivals:
        return f"the only candidate (confidence {best.verdict.confidence:.2f})"
    second = max(rivals, key=_rank)
    return f"the best of {len(rivals) + 1}: {_describe_advantage(best, second)}, unlike {second.name}"


_MERITS = (
    "it is an original, not an annotated copy", "it is complete", "it covers the whole head",
    "its voxels are thin (3D)", "its classification is more certain", "it is axial", "it was acquired, not derived",
    "it is corrected by the scanner", "fat is not suppressed", "it has the most slices",
)  # fmt: skip


def _describe_advantage(better: Series, rival: Series) -> str:
    pairs = zip(_MERITS, _rank(better), _rank(rival), strict=True)
    return next((merit for merit, a, b in pairs if a > b), "its slices are axial")


def _explain_rejection(
    series: Series, selected: Mapping[Modality, Series], late: set[int], ties: Mapping[Modality, tuple[Series, ...]]
) -> str:
    verdict = series.verdict
    if verdict.modality is None:
        return _explain_other_kind(verdict)
    if not series.is_readable:
        return f"it is a {verdict.kind}, but {series.layout.fault}"
    if id(series) in late:
        return "it is a T1 that does not mention contrast but started after a series with contrast"
    if verdict.confidence < USABLE:
        return f"it may be {verdict.kind}, but this is too uncertain (confidence {verdict.confidence:.2f})"
    if verdict.modality in ties:
        return f"it is one of several equally good {verdict.kind}"
    better = selected.get(verdict.modality)
    return f"{verdict.kind} was left out" if better is None else _explain_outranking(series, better)


def _explain_other_kind(verdict: Verdict) -> str:
    evidence = f"{verdict.evidence[0][:1].lower()}{verdict.evidence[0][1:-1]}"
    if verdict.kind == "unknown":
        return f"its sequence is unknown ({evidence})"
    return f"it is another kind of image ({verdict.kind}: {evidence})"


def _explain_outranking(series: Series, better: Series) -> str:
    if series.annotation and not better.annotation:
        return f"it is an annotated copy ({series.annotation}) of {better.name}"
    if _rank(better) > _rank(series):
        return f"it is a {series.verdict.kind}, but {better.name} was chosen: {_describe_advantage(better, series)}"
    return f"it is a {series.verdict.kind}, but {better.name} was chosen"


def _note_left_out(study: Study, selected: Mapping[Modality, Series]) -> tuple[str, ...]:
    """Return a note for each chosen volume whose series has further slices that could belong to it."""
    notes = []
    for modality, series in selected.items():
        siblings = [sibling for sibling in study.series if sibling is not series and _is_other_part(sibling, series)]
        if siblings:
            counts_text = ", ".join(f"{sibling.facts.slices} in …{sibling.label}" for sibling in siblings)
            notes.append(
                f"{modality.label} uses {series.facts.slices} slices of {series.name}. Other slices of the series "
                f"were left out: {counts_text}. brats-mm inspect shows the differences."
            )
    return tuple(notes)


def _is_other_part(sibling: Series, series: Series) -> bool:
    same_series = sibling.identity.series_uid == series.identity.series_uid
    same_plane = sibling.facts.orientation == series.facts.orientation
    same_modality = sibling.verdict.modality in (None, series.verdict.modality)
    return same_series and same_plane and same_modality and sibling.verdict.kind != "proton density"


def _suggest_series(
    study: Study, selected: Mapping[Modality, Series], ties: Mapping[Modality, tuple[Series, ...]]
) -> tuple[str, ...]:
    """Return suggestions of series that the user can select for missing sequences."""
    hints = []
    for modality in MODALITIES:
        if modality in selected or modality in ties:
            continue
        for series in study.series:
            maybe = series.verdict.underlying is modality or (
                series.verdict.modality is modality and series.verdict.confidence < USABLE
            )
            if maybe and series.is_readable and series.verdict.kind not in ("subtraction", "projection"):
                hints.append(
                    f"No {modality.label} was chosen. {series.name} is a candidate ({series.verdict.kind}). Select it "
                    f"with --{modality.value} {series.label}."
                )
                break
    return tuple(hints)
