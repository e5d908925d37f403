"""Classify a series as T1, T1ce, T2, FLAIR or something else by timing, words, contrast tags and kind of image.

The same facts always give the same verdict, with evidence in sentences and a confidence. The rules and limits follow
the conventions of vendors. `tests/unit/io/dicom/header_table.csv` holds the tested combinations.
"""

import re
from dataclasses import dataclass, replace

from brats_mm.domain.modality import Modality
from brats_mm.domain.name_rules import read_name
from brats_mm.domain.name_words import FAT_SATURATED, simplify, split_name_tokens
from brats_mm.io.dicom.exclusions import describe_reformat, find_exclusion
from brats_mm.io.dicom.facts import HeaderFacts, Verdict
from brats_mm.io.dicom.physics import Weighting, find_weighting

_T1_FLAIR = re.compile(r"t1w?[\s_-]*(tse|fse|ir|cube|memp)?[\s_-]*flair")
"""An inversion-prepared T1, not a FLAIR."""


@dataclass(frozen=True)
class Words:
    """Meaning of the text.

    Attributes:
        weighting: T1, T2 or FLAIR. None if the text names none or several.
        word: the words that name it.
        contrast: True after contrast, False before, None if unstated or contradictory.
        contrast_word: the words about contrast.
        fat_saturated: whether the text states fat suppression.
    """

    weighting: Modality | None
    word: str = ""
    contrast: bool | None = None
    contrast_word: str = ""
    fat_saturated: bool = False


def read_words(*texts: str) -> Words:
    """Interpret description, protocol and sequence name by the rules for file names (`domain/name_rules.py`).

    Args:
        texts: the texts, most reliable first. A text is used only if earlier ones contain no relevant word.
    """
    readings = [_read(text) for text in texts if text.strip()]
    weighted = next((reading for reading in readings if reading.weighting), Words(None))
    first = next((reading for reading in readings if reading.contrast is not None), Words(None))
    return Words(
        weighted.weighting,
        weighted.word,
        first.contrast,
        first.contrast_word,
        any(reading.fat_saturated for reading in readings),
    )


def _read(text: str) -> Words:
    reading = read_name(text, is_file=False)
    sequences = {"t1" if name == "t1ce" else name for name in reading.sequences}
    if sequences == {"t1", "flair"} and _T1_FLAIR.search(simplify(text)):
        sequences = {"t1"}
    weighting = Modality(sequences.pop()) if len(sequences) == 1 else None
    return Words(
        weighting,
        reading.word if weighting else "",
        reading.contrast,
        reading.contrast_word,
        not FAT_SATURATED.isdisjoint(split_name_tokens(text)),
    )


NO_AGENT = frozenset(
    {"", "no", "none", "n", "0", "nil", "nein", "non", "sin", "ohne", "na", "n/a", "-", "null", "no contrast"}
)
"""Values of Contrast/Bolus Agent that mean no contrast."""
_ENHANCED = {"T1": Modality.T1, "T2": Modality.T2, "FLUID_ATTENUATED": Modality.FLAIR}


def classify(facts: HeaderFacts) -> Verdict:
    """Classify a series.

    Returns:
        The verdict. Its `modality` is None for anything but T1, T1ce, T2 and FLAIR.
    """
    excluded = find_exclusion(facts)
    if excluded is not None:
        underlying = classify_weighting(facts).modality if excluded.kind in ("subtraction", "projection") else None
        return Verdict(None, excluded.kind, excluded.confidence, (excluded.reason,), underlying)
    verdict = classify_weighting(facts)
    reformat = describe_reformat(facts)
    if reformat:
        kind = f"reformat of {verdict.modality.label}" if verdict.modality else "reformat"
        return Verdict(None, kind, 0.9, (reformat, *verdict.evidence), verdict.modality)
    if facts.image_type[:1] == ("DERIVED",) and verdict.modality is not None:
        reason = "Image Type contains DERIVED: the series may be computed from another one."
        verdict = replace(verdict, confidence=min(verdict.confidence, 0.75), evidence=(*verdict.evidence, reason))
    return verdict


def classify_weighting(facts: HeaderFacts) -> Verdict:
    """Classify by timing, words and contrast alone, without exclusions."""
    timing, words = find_weighting(facts), read_words(facts.description, facts.protocol, facts.sequence_name)
    verdict = _judge_weighting(facts, timing, words)
    return (
        _decide_contrast(facts, words, verdict)
        if verdict.modality is Modality.T1
        else _judge_after_contrast(facts, verdict)
    )


def _judge_weighting(facts: HeaderFacts, timing: Weighting, words: Words) -> Verdict:
    tagged = _ENHANCED.get(facts.acquisition_contrast)
    modality, evidence = words.weighting, ""
    if tagged is not None:
        modality, evidence = tagged, f"The acquisition contrast is {facts.acquisition_contrast} ({tagged.label})."
    elif modality is not None:
        evidence = f"The description contains {words.word!r} ({modality.label})."
    if timing.modality is None:
        return _judge_by_words(modality, evidence, timing)
    if modality is None:
        return Verdict(timing.modality, timing.modality.label, min(timing.strength, 0.85), (timing.reason,))
    if modality is timing.modality:
        return Verdict(modality, modality.label, max(0.92, timing.strength), (timing.reason, evidence))
    return _judge_contradiction(facts, timing, modality, evidence)


def _judge_by_words(modality: Modality | None, evidence: str, timing: Weighting) -> Verdict:
    if timing.other:
        if modality is None or timing.strength >= 0.8:
            reasons = (timing.reason,) if modality is None else (timing.reason, evidence)
            return Verdict(None, timing.other, timing.strength if modality is None else 0.7, reasons, modality)
        return Verdict(modality, modality.label, 0.65, (evidence, timing.reason))
    if modality is None:
        return Verdict(None, "unknown", 0.5, (timing.reason, "The description names no sequence."))
    confidence = 0.75 if "no echo time" in timing.reason or "no repetition" in timing.reason else 0.6
    return Verdict(modality, modality.label, confidence, (evidence, timing.reason))


def _judge_contradiction(facts: HeaderFacts, timing: Weighting, modality: Modality, evidence: str) -> Verdict:
    """Return the verdict if timing and words disagree."""
    assert timing.modality is not None
    no_inversion = facts.inversion_ms is None or facts.inversion_ms <= 20
    if (
        modality is Modality.FLAIR
        and timing.modality is Modality.T2
        and no_inversion
        and (facts.repetition_ms or 0) >= 3800
    ):
        reason = "The header has no inversion time. Without it, the timing of a FLAIR looks like that of a T2."
        return Verdict(Modality.FLAIR, "FLAIR", 0.82, (evidence, timing.reason, reason))
    if timing.modality is Modality.FLAIR and modality is Modality.T2:  # often described as T2 FLAIR, sometimes as T2
        return Verdict(Modality.FLAIR, "FLAIR", 0.75, (timing.reason, evidence, "The inversion takes precedence."))
    reason = "Timing and description contradict each other. Select the series by option if you know its sequence."
    return Verdict(timing.modality, timing.modality.label, 0.4, (timing.reason, evidence, reason), modality)


def _decide_contrast(facts: HeaderFacts, words: Words, verdict: Verdict) -> Verdict:
    """Decide whether a T1 was taken before or after contrast."""
    tagged = _has_agent(facts)
    tag = "The header names a contrast agent." if tagged else "The header names no contrast agent."
    quotation = f"The description contains {words.contrast_word!r}."
    if words.contrast is True:
        confidence = verdict.confidence if tagged else min(verdict.confidence, 0.9)
        return _make_t1ce_verdict(verdict, confidence, (quotation, tag) if tagged else (quotation,))
    if words.contrast is False:
        evidence = (*verdict.evidence, f"{quotation[:-1]}: before contrast.", *((tag,) if tagged else ()))
        return replace(verdict, confidence=min(verdict.confidence, 0.7 if tagged else 0.97), evidence=evidence)
    if tagged:
        return _make_t1ce_verdict(verdict, min(verdict.confidence, 0.88), (tag,))
    if words.fat_saturated or not {"FS", "SAT_FAT"}.isdisjoint(facts.scan_options):
        reason = "Contrast is not stated. A fat-saturated T1 usually has contrast."
        limit = 0.6
    else:
        reason, limit = "Neither a contrast tag nor the description mentions contrast.", 0.82
    evidence = (*verdict.evidence, reason)
    return replace(verdict, confidence=min(verdict.confidence, limit), evidence=evidence, contrast_stated=False)


def _make_t1ce_verdict(verdict: Verdict, confidence: float, reasons: tuple[str, ...]) -> Verdict:
    return Verdict(Modality.T1CE, Modality.T1CE.label, confidence, (*verdict.evidence, *reasons), verdict.underlying)


def _judge_after_contrast(facts: HeaderFacts, verdict: Verdict) -> Verdict:
    if verdict.modality is None or not _has_agent(facts):
        return verdict
    reason = f"It was acquired after contrast, and remains a {verdict.modality.label}."
    return replace(verdict, evidence=(*verdict.evidence, reason))


def _has_agent(facts: HeaderFacts) -> bool:
    return facts.contrast_agent.strip().casefold() not in NO_AGENT
