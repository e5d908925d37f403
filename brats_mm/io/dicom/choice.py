"""Choose the series of a study for T1, T1ce, T2 and FLAIR. The user decides between equally good series."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.errors import CaseError, OptionError
from brats_mm.io.dicom.facts import USABLE
from brats_mm.io.dicom.scan import Study, fits
from brats_mm.io.dicom.series import Series

THIN_MM = 1.6
WHOLE_HEAD_MM = 90.0
LEAVE_OUT = "none"
"""Value that leaves a sequence out, instead of a series."""
_CLOSE = 0.1


@dataclass(frozen=True, eq=False)
class Choice:
    """Chosen series of each sequence.

    Attributes:
        chosen: series by sequence.
        reasons: reason for the choice, by sequence.
        passed_over: reason for each rejected series, by label.
        notes: remarks for readers of the results.
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
        overrides: series by sequence as named by the user (a UID, its start or end, or a label), or `none` to leave the
            sequence out.

    Raises:
        OptionError: an override matches no series, several, or an unreadable one.
    """
    wanted = {modality: word for modality, word in (overrides or {}).items() if word is not None}
    forced = {
        modality: find_series(study, word, modality) for modality, word in wanted.items() if word.lower() != LEAVE_OUT
    }
    _check_apart(forced)
    taken = {id(series) for series in forced.values()}
    chosen, reasons = dict(forced), dict.fromkeys(forced, "you named it")
    ties: dict[Modality, tuple[Series, ...]] = {}
    open_ones = [series for series in study.series if id(series) not in taken]
    late, notes = _begun_after_contrast(study.series)
    for modality in MODALITIES:
        if modality in wanted:
            continue
        candidates = [one for one in open_ones if _fits(one, modality) and id(one) not in late]
        if not candidates:
            continue
        best = sorted(candidates, key=_rank, reverse=True)
        equal = tuple(one for one in best if _is_equal(one, best[0]))
        if len(equal) > 1:
            ties[modality] = equal
        else:
            chosen[modality], reasons[modality] = best[0], _why(best[0], best[1:])
    ordered = {modality: chosen[modality] for modality in MODALITIES if modality in chosen}
    passed_over = {one.label: _why_not(one, ordered, late) for one in study.series if one not in ordered.values()}
    notes = (*notes, *_left_out(study, ordered), *_hints(study, ordered, ties))
    return Choice(ordered, reasons, passed_over, notes, ties)


def require_unambiguous(choice: Choice) -> Choice:
    """Return the choice if no sequence is ambiguous.

    Raises:
        CaseError: several series are equally good, or there is none. The message lists them and how to name one.
    """
    if choice.ties:
        conflicts = "; ".join(
            f"{modality.label} could be {' or '.join(one.title for one in equal)}"
            for modality, equal in choice.ties.items()
        )
        first, equal = next(iter(choice.ties.items()))
        message = (
            f"Several series are equally good: {conflicts}. Name the one to use, for example "
            f"--{first.value} {equal[0].label}, or --{first.value} {LEAVE_OUT} to leave the sequence out."
        )
        raise CaseError(message)
    if not choice.chosen:
        seen = "; ".join(f"…{label} {reason}" for label, reason in list(choice.passed_over.items())[:10])
        message = (
            f"No series of the study was recognised as T1, T1ce, T2 or FLAIR: {seen}. "
            "Name the series, for example --t1ce and the end of its UID. See brats-mm inspect for a list."
        )
        raise CaseError(message)
    return choice


def find_series(study: Study, word: str, modality: Modality) -> Series:
    """Return the series that the user names.

    Raises:
        OptionError: no series or several match, or the matching one cannot be read.
    """
    uid, _, part = word.strip().partition("#")
    fitting = [one for one in study.series if fits(one.identity.series_uid, uid) and part in ("", str(one.part))]
    if not fitting:
        known = ", ".join(f"…{one.label}" for one in study.series[:20])
        message = (
            f"--{modality.value} matches no series of the study: no UID starts or ends with {word!r}. The series "
            f"are {known}."
        )
        raise OptionError(message)
    if len(fitting) > 1:
        titles = " or ".join(one.title for one in fitting[:6])
        message = f"--{modality.value} {word!r} matches {titles}. Give the full label of one, including any #."
        raise OptionError(message)
    if not fitting[0].is_readable:
        fault = fitting[0].layout.fault
        message = (
            f"--{modality.value} names {fitting[0].title}, which cannot be used: {fault}. "
            "Send it again, or name another."
        )
        raise OptionError(message)
    return fitting[0]


def _check_apart(forced: Mapping[Modality, Series]) -> None:
    seen: dict[int, Modality] = {}
    for modality, series in forced.items():
        twin = seen.setdefault(id(series), modality)
        if twin is not modality:
            message = (
                f"{series.title} was named as {twin.label} and as {modality.label}. Name a different series for each."
            )
            raise OptionError(message)


def _fits(series: Series, modality: Modality) -> bool:
    return series.verdict.modality is modality and series.verdict.confidence >= USABLE and series.is_readable


def _begun_after_contrast(series: Sequence[Series]) -> tuple[set[int], tuple[str, ...]]:
    """Return T1 series that do not mention contrast but started after one with contrast, and a note for each."""
    started = [
        one.facts.acquired_s
        for one in series
        if one.verdict.modality is Modality.T1CE and one.facts.acquired_s is not None and one.verdict.contrast_stated
    ]
    if not started:
        return set(), ()
    late = [
        one
        for one in series
        if one.verdict.modality is Modality.T1
        and not one.verdict.contrast_stated
        and one.facts.acquired_s is not None
        and one.facts.acquired_s > min(started)
    ]
    notes = tuple(
        f"S{one.name[1:]} was not used as T1: it does not mention contrast, but started after a series with contrast."
        for one in late
    )
    return {id(one) for one in late}, notes


def _rank(series: Series) -> tuple[float, ...]:
    """Return the sort key of a series among series of its kind, most important first. See `_MERITS`."""
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


def _is_equal(one: Series, best: Series) -> bool:
    """Return whether two series differ in nothing but a few slices."""
    if one is best:
        return True
    close = abs(one.facts.slices - best.facts.slices) <= _CLOSE * best.facts.slices
    return _rank(one)[:-1] == _rank(best)[:-1] and close and _same_orientation(one, best)


def _same_orientation(one: Series, best: Series) -> bool:
    return one.facts.orientation == best.facts.orientation or max(one.facts.spacing_mm) <= THIN_MM


def _why(best: Series, others: Sequence[Series]) -> str:
    if not others:
        return f"the only candidate (confidence {best.verdict.confidence:.2f})"
    second = max(others, key=_rank)
    return f"the best of {len(others) + 1}: {_advantage(best, second)}, unlike {second.name}"


_MERITS = (
    "it is an original, not an annotated copy", "it is complete", "it covers the whole head",
    "its voxels are thin (3D)", "its classification is more certain", "it is axial", "it was acquired, not derived",
    "it is corrected by the scanner", "fat is not suppressed", "it has the most slices",
)  # fmt: skip


def _advantage(better: Series, other: Series) -> str:
    pairs = zip(_MERITS, _rank(better), _rank(other), strict=True)
    return next((merit for merit, a, b in pairs if a > b), "its slices are axial")


def _why_not(one: Series, chosen: Mapping[Modality, Series], late: set[int]) -> str:
    verdict = one.verdict
    if verdict.modality is None:
        return f"is {_article(verdict.kind)} ({verdict.evidence[0][:-1]})"
    if not one.is_readable:
        return f"is a {verdict.kind}, but {one.layout.fault}"
    if id(one) in late:
        return "is a T1 that does not mention contrast but started after a series with contrast"
    if verdict.confidence < USABLE:
        return f"may be {verdict.kind}, but that is too uncertain (confidence {verdict.confidence:.2f})"
    better = chosen.get(verdict.modality)
    return f"is one of several {verdict.kind} (ambiguous)" if better is None else _why_worse(one, better)


def _why_worse(one: Series, better: Series) -> str:
    if one.annotation and not better.annotation:
        return f"is an annotated copy ({one.annotation}) of {better.name}"
    if _rank(better) > _rank(one):
        return f"is a {one.verdict.kind}, but {better.name} was chosen: {_advantage(better, one)}"
    return f"is a {one.verdict.kind}, but {better.name} was chosen"


def _article(noun: str) -> str:
    return "of an unknown kind" if noun == "unknown" else noun


def _left_out(study: Study, chosen: Mapping[Modality, Series]) -> tuple[str, ...]:
    """Return a note for each chosen volume if its series has further slices that could belong to it."""
    notes = []
    for modality, series in chosen.items():
        others = [one for one in study.series if one is not series and _is_other_part(one, series)]
        if others:
            spelled = ", ".join(f"{one.facts.slices} in …{one.label}" for one in others)
            notes.append(
                f"{modality.label} uses {series.facts.slices} slices of {series.name}. Other slices of the same series "
                f"were left out: {spelled}. brats-mm inspect shows how they differ."
            )
    return tuple(notes)


def _is_other_part(one: Series, series: Series) -> bool:
    same_series = one.identity.series_uid == series.identity.series_uid
    same_plane = one.facts.orientation == series.facts.orientation
    fits = one.verdict.modality in (None, series.verdict.modality)
    return same_series and same_plane and fits and one.verdict.kind != "proton density"


def _hints(
    study: Study, chosen: Mapping[Modality, Series], ties: Mapping[Modality, tuple[Series, ...]]
) -> tuple[str, ...]:
    """Suggest series for missing sequences that the user can name."""
    hints = []
    for modality in MODALITIES:
        if modality in chosen or modality in ties:
            continue
        for one in study.series:
            maybe = one.verdict.underlying is modality or (
                one.verdict.modality is modality and one.verdict.confidence < USABLE
            )
            if maybe and one.is_readable and one.verdict.kind not in ("subtraction", "projection"):
                hints.append(
                    f"No {modality.label} was chosen. {one.name} may be one ({one.verdict.kind}). "
                    f"Use it with --{modality.value} {one.label}."
                )
                break
    return tuple(hints)
