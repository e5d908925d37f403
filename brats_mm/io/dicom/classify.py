"""Which MR sequence a series is, from header facts alone: timing, words, contrast tags, kind of image.

A pure function: the same facts give the same verdict, with its evidence in sentences and a confidence. Rules and limits
are our own synthesis of vendors' habits; `tests/unit/io/dicom/header_table.csv` holds what they were tested on.
"""

from dataclasses import replace

from brats_mm.domain.modality import Modality
from brats_mm.io.dicom.exclusions import exclusion_of, reformat_of
from brats_mm.io.dicom.facts import HeaderFacts, Verdict
from brats_mm.io.dicom.physics import Weighting, weighting_of
from brats_mm.io.dicom.words import Words, read_words

NO_AGENT = frozenset(
    {"", "no", "none", "n", "0", "nil", "nein", "non", "sin", "ohne", "na", "n/a", "-", "null", "no contrast"}
)
"""What people type into Contrast/Bolus Agent when they gave none."""
_ENHANCED = {"T1": Modality.T1, "T2": Modality.T2, "FLUID_ATTENUATED": Modality.FLAIR}


def classify(facts: HeaderFacts) -> Verdict:
    """Say what a series is.

    Returns:
        the verdict; `modality` is None for whatever is not T1, T1ce, T2 or FLAIR.
    """
    excluded = exclusion_of(facts)
    if excluded is not None:
        underlying = classify_weighting(facts).modality if excluded.what in ("subtraction", "projection") else None
        return Verdict(None, excluded.what, excluded.confidence, (excluded.says,), underlying)
    verdict = classify_weighting(facts)
    reformat = reformat_of(facts)
    if reformat:
        what = f"reformat of {verdict.modality.label}" if verdict.modality else "reformat"
        return Verdict(None, what, 0.9, (reformat, *verdict.evidence), verdict.modality)
    if facts.image_type[:1] == ("DERIVED",) and verdict.modality is not None:
        says = "The image type says DERIVED, not how: it may have been computed from another series."
        verdict = replace(verdict, confidence=min(verdict.confidence, 0.75), evidence=(*verdict.evidence, says))
    return verdict


def classify_weighting(facts: HeaderFacts) -> Verdict:
    """The verdict by timing, words and contrast alone, exclusions aside."""
    timing, words = weighting_of(facts), read_words(facts.description, facts.protocol, facts.sequence_name)
    verdict = _weighted(facts, timing, words)
    return _with_contrast(facts, words, verdict) if verdict.modality is Modality.T1 else _after_contrast(facts, verdict)


def _weighted(facts: HeaderFacts, timing: Weighting, words: Words) -> Verdict:
    tagged = _ENHANCED.get(facts.acquisition_contrast)
    named, spoken = words.weighting, f"The description says {words.says!r} ({_label(words.weighting)})."
    if tagged is not None:
        named, spoken = tagged, f"The acquisition contrast is {facts.acquisition_contrast} ({tagged.label})."
    if timing.modality is None:
        return _by_words(named, spoken, timing)
    if named is None:
        return Verdict(timing.modality, timing.modality.label, min(timing.strength, 0.85), (timing.says,))
    if named is timing.modality:
        return Verdict(named, named.label, max(0.92, timing.strength), (timing.says, spoken))
    return _contradiction(facts, timing, named, spoken)


def _by_words(named: Modality | None, spoken: str, timing: Weighting) -> Verdict:
    if timing.other:
        if named is None or timing.strength >= 0.8:
            says = (timing.says,) if named is None else (timing.says, spoken)
            return Verdict(None, timing.other, timing.strength if named is None else 0.7, says, named)
        return Verdict(named, named.label, 0.65, (spoken, timing.says))
    if named is None:
        return Verdict(None, "unknown", 0.5, (timing.says, "The description says no sequence."))
    confidence = 0.75 if "no echo time" in timing.says or "no repetition" in timing.says else 0.6
    return Verdict(named, named.label, confidence, (spoken, timing.says))


def _contradiction(facts: HeaderFacts, timing: Weighting, named: Modality, spoken: str) -> Verdict:
    """Timing says one thing, words another."""
    assert timing.modality is not None
    no_inversion = facts.inversion_ms is None or facts.inversion_ms <= 20
    if (
        named is Modality.FLAIR
        and timing.modality is Modality.T2
        and no_inversion
        and (facts.repetition_ms or 0) >= 3800
    ):
        says = "The header gives no inversion time, so that the timing of a FLAIR looks like that of a T2."
        return Verdict(Modality.FLAIR, "FLAIR", 0.82, (spoken, timing.says, says))
    if timing.modality is Modality.FLAIR and named is Modality.T2:  # many call it T2 FLAIR, some T2
        return Verdict(Modality.FLAIR, "FLAIR", 0.75, (timing.says, spoken, "The inversion decides."))
    says = "Timing and description contradict each other; nobody but you can decide."
    return Verdict(timing.modality, timing.modality.label, 0.4, (timing.says, spoken, says), named)


def _with_contrast(facts: HeaderFacts, words: Words, verdict: Verdict) -> Verdict:
    """T1 before or after contrast."""
    tagged = _has_agent(facts)
    tag = "The header names a contrast agent." if tagged else "The header names no contrast agent."
    spoken = f"The words say {words.contrast_says!r}."
    if words.contrast is True:
        confidence = verdict.confidence if tagged else min(verdict.confidence, 0.9)
        return _t1ce(verdict, confidence, (spoken, tag) if tagged else (spoken,))
    if words.contrast is False:
        evidence = (*verdict.evidence, f"{spoken[:-1]}: before contrast.", *((tag,) if tagged else ()))
        return replace(verdict, confidence=min(verdict.confidence, 0.7 if tagged else 0.97), evidence=evidence)
    if tagged:
        return _t1ce(verdict, min(verdict.confidence, 0.88), (tag,))
    if words.fat_saturated or not {"FS", "SAT_FAT"}.isdisjoint(facts.scan_options):
        says = "Nothing says whether contrast was given; a fat-saturated T1 is often one with contrast."
        return replace(
            verdict, confidence=min(verdict.confidence, 0.6), evidence=(*verdict.evidence, says), contrast_told=False
        )
    evidence = (*verdict.evidence, "Neither a contrast tag nor a word says that contrast was given.")
    return replace(verdict, confidence=min(verdict.confidence, 0.82), evidence=evidence, contrast_told=False)


def _t1ce(verdict: Verdict, confidence: float, says: tuple[str, ...]) -> Verdict:
    return Verdict(Modality.T1CE, Modality.T1CE.label, confidence, (*verdict.evidence, *says), verdict.underlying)


def _after_contrast(facts: HeaderFacts, verdict: Verdict) -> Verdict:
    if verdict.modality is None or not _has_agent(facts):
        return verdict
    return replace(
        verdict,
        evidence=(*verdict.evidence, f"It was taken after contrast; it is a {verdict.modality.label} all the same."),
    )


def _has_agent(facts: HeaderFacts) -> bool:
    return facts.contrast_agent.strip().casefold() not in NO_AGENT


def _label(modality: Modality | None) -> str:
    return modality.label if modality else "nothing"
