"""Derive the weighting (T1, T2, FLAIR or another) from echo time, repetition time and inversion time.

The limits follow from the relaxation of tissue and fluid, with margins for 0.5 to 7 T and for long echo trains. An
inversion time of 1.5 to 3 s nulls fluid, one of 0.1 to 0.26 s nulls fat. A short echo with a short repetition, or after
an inversion of about a second, weights T1. A long echo after a long repetition weights T2.
"""

from dataclasses import dataclass

from brats_mm.domain.modality import Modality
from brats_mm.io.dicom.facts import HeaderFacts

FLAIR_INVERSION_MS = (1450.0, 3200.0)
STIR_INVERSION_MS = (80.0, 280.0)
T1_INVERSION_MS = (300.0, 1450.0)
FLAIR_REPETITION_MS = 3800.0
LONG_ECHO_MS = 60.0
SHORT_ECHO_MS = 45.0
VERY_LONG_ECHO_MS = 650.0
T1_REPETITION_MS = 1400.0
PROTON_DENSITY_REPETITION_MS = 1800.0
T2_REPETITION_MS = 1500.0
SPOILED_REPETITION_MS = 60.0


@dataclass(frozen=True)
class Weighting:
    """Weighting derived from the timing.

    Attributes:
        modality: T1, T2 or FLAIR. None for another weighting, and if the timing is missing or ambiguous.
        reason: the reason as a sentence.
        strength: reliability of the timing alone, 0 to 1.
        other: another weighting, such as `proton density`, or empty.
    """

    modality: Modality | None
    reason: str
    strength: float = 0.0
    other: str = ""


def find_weighting(facts: HeaderFacts) -> Weighting:
    """Return the weighting that follows from the timing."""
    echo, repetition = facts.echo_ms, facts.repetition_ms
    if echo is None or repetition is None:
        missing = " and ".join(
            name for name, value in (("echo time", echo), ("repetition time", repetition)) if value is None
        )
        return Weighting(None, f"The header has no {missing}.")
    inversion = facts.inversion_ms if facts.inversion_ms is not None and facts.inversion_ms > 20 else None
    if inversion is not None:
        return _weigh_inversion(facts, echo, repetition, inversion)
    if "GR" in facts.scanning_sequence and "SE" not in facts.scanning_sequence:
        return _weigh_gradient_echo(facts, echo, repetition)
    return _weigh_spin_echo(facts, echo, repetition)


def _weigh_inversion(facts: HeaderFacts, echo: float, repetition: float, inversion: float) -> Weighting:
    times = f"TI {inversion:g} ms, TE {echo:g} ms, TR {repetition:g} ms"
    if _is_within(inversion, STIR_INVERSION_MS) and "GR" not in facts.scanning_sequence and repetition > 1200:
        return Weighting(None, f"{times}: an inversion that nulls fat (STIR).", 0.95, "STIR")
    if _is_within(inversion, FLAIR_INVERSION_MS) and echo >= LONG_ECHO_MS and repetition >= FLAIR_REPETITION_MS:
        return Weighting(Modality.FLAIR, f"{times}: a long echo after an inversion that nulls fluid (FLAIR).", 0.95)
    if echo <= SHORT_ECHO_MS and inversion <= T1_INVERSION_MS[1]:
        return Weighting(Modality.T1, f"{times}: a short echo after an inversion (T1).", 0.9)
    if _is_within(inversion, FLAIR_INVERSION_MS) and echo <= SHORT_ECHO_MS:
        return Weighting(None, f"{times}: a short echo after a long inversion, neither T1 nor FLAIR.")
    return Weighting(None, f"{times}: not the timing of T1, T2 or FLAIR.")


def _weigh_gradient_echo(facts: HeaderFacts, echo: float, repetition: float) -> Weighting:  # noqa: PLR0911 (one return per kind)
    times = f"Gradient echo, TE {echo:g} ms, TR {repetition:g} ms"
    flip = facts.flip_deg
    prepared = "IR" in facts.scanning_sequence or "MP" in facts.sequence_variant
    if echo >= 12 and repetition >= 100 and not prepared:
        return Weighting(None, f"{times}: a long echo without refocusing (T2*).", 0.9, "T2*")
    if prepared and echo <= 12:
        return Weighting(Modality.T1, f"{times}, prepared by an inversion (T1).", 0.85)
    balanced = "SS" in facts.sequence_variant and "SP" not in facts.sequence_variant and (flip or 0) >= 35
    if balanced and repetition <= 15:
        return Weighting(None, f"{times}, {flip:g} degrees, not spoiled: a balanced sequence.", 0.8, "balanced")
    if echo <= 12 and repetition <= SPOILED_REPETITION_MS:
        return Weighting(Modality.T1, f"{times}: fast and spoiled (T1).", 0.75)
    if echo <= 12 and repetition <= 1000:
        return Weighting(Modality.T1, f"{times}: a short echo and a short repetition (T1).", 0.8)
    if echo <= 8 and repetition <= 3500 and facts.is_3d and (flip or 90) <= 20:
        return Weighting(Modality.T1, f"{times}, 3D with a small flip angle: like an MPRAGE (T1).", 0.75)
    return Weighting(None, f"{times}: not the timing of T1, T2 or FLAIR.")


def _weigh_spin_echo(facts: HeaderFacts, echo: float, repetition: float) -> Weighting:  # noqa: PLR0911 (one return per kind)
    kind = "Spin echo, " if "SE" in facts.scanning_sequence else ""
    times = f"{kind}TE {echo:g} ms, TR {repetition:g} ms"
    confidence = 1.0 if facts.scanning_sequence else 0.9
    inverts = "IR" in facts.scanning_sequence or "IR" in facts.scan_options
    if echo >= LONG_ECHO_MS and inverts and repetition >= FLAIR_REPETITION_MS:
        return Weighting(Modality.FLAIR, f"{times} after an inversion of unknown time (FLAIR).", 0.8)
    if echo <= SHORT_ECHO_MS and inverts and repetition <= 3500:
        return Weighting(Modality.T1, f"{times} after an inversion of unknown time (T1).", 0.75)
    if echo > VERY_LONG_ECHO_MS:
        return Weighting(None, f"{times}: with such a long echo, only fluid is visible.", 0.8, "fluid only")
    if echo >= LONG_ECHO_MS and repetition >= T2_REPETITION_MS:
        return Weighting(Modality.T2, f"{times}: a long echo after a long repetition (T2).", 0.9 * confidence)
    if echo <= SHORT_ECHO_MS and repetition <= T1_REPETITION_MS:
        if not facts.scanning_sequence and repetition <= 15:
            return Weighting(Modality.T1, f"{times}: fast (T1).", 0.6)
        return Weighting(Modality.T1, f"{times}: a short echo and a short repetition (T1).", 0.9 * confidence)
    if echo <= SHORT_ECHO_MS and repetition >= PROTON_DENSITY_REPETITION_MS:
        return Weighting(
            None, f"{times}: a short echo after a long repetition (proton density).", 0.7, "proton density"
        )
    return Weighting(None, f"{times}: not the timing of T1, T2 or FLAIR.")


def _is_within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]
