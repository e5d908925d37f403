"""Guess the sequence of each loaded volume from names and DICOM fields, with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Several
from dataclasses import dataclass, field

from BratsMMLib.name_words import split_name_tokens
from BratsMMLib.sequences import DECATHLON, NUMBERS, SEQUENCES, Reading, Sequence, read_description, read_names

DICOM_FIELDS = (
    "Modality",
    "SeriesDescription",
    "ProtocolName",
    "ImageType",
    "ScanningSequence",
    "EchoTime",
    "RepetitionTime",
    "InversionTime",
    "ContrastBolusAgent",
)
"""Header fields to read. None of them identifies the patient."""

_DERIVED = frozenset({"derived", "mpr", "adc", "trace", "projection", "localizer", "localiser", "phasemap"})
_FLAIR_INVERSION_MS = (1600.0, 2900.0)
_LONG_ECHO_MS = 70.0
_LONG_REPETITION_MS = 2000.0
_SHORT_ECHO_MS = 30.0
_SURE, _LIKELY, _PERHAPS = 3, 2, 1


@dataclass(frozen=True)
class Loaded:
    """A volume of the scene: ID and name of its node, and known `DICOM_FIELDS`."""

    key: str
    name: str
    dicom: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Guess:
    """Content of a sequence's selector: the volume or None, and the reason."""

    key: str | None
    reason: str


@dataclass(frozen=True)
class _Candidate:
    volume: Loaded
    sequence: Sequence
    strength: int
    reason: str
    is_copy: bool = False


def guess(volumes: Several[Loaded]) -> dict[Sequence, Guess]:
    """Return the most likely volume of each sequence, or none without evidence or with equal evidence for two."""
    readings = read_names([volume.name for volume in volumes])
    candidates = [_candidate(volume, reading) for volume, reading in zip(volumes, readings, strict=True)]
    return {sequence: _chosen(sequence, (candidate for candidate in candidates if candidate)) for sequence in SEQUENCES}


def _chosen(sequence: Sequence, candidates: Iterable[_Candidate]) -> Guess:
    ranked = sorted(
        (candidate for candidate in candidates if candidate.sequence is sequence),
        key=lambda candidate: (-candidate.strength, candidate.is_copy),
    )
    if not ranked:
        return Guess(None, f"No volume looks like {sequence.label}. Leave it empty if you have none.")
    best = [
        candidate
        for candidate in ranked
        if (candidate.strength, candidate.is_copy) == (ranked[0].strength, ranked[0].is_copy)
    ]
    if len(best) > 1:
        names = " and ".join(candidate.volume.name for candidate in best)
        return Guess(None, f"{names} could each be {sequence.label}. Choose one.")
    return Guess(best[0].volume.key, best[0].reason)


def _candidate(volume: Loaded, reading: Reading) -> _Candidate | None:
    if reading.is_label or reading.is_other or _is_other_image(volume.dicom):
        return None
    if len(reading.sequences) > 1 or (reading.sequences and reading.doubt):
        return None
    return _by_name(volume, reading) or _by_description(volume) or _by_physics(volume)


def _by_name(volume: Loaded, reading: Reading) -> _Candidate | None:
    if len(reading.sequences) == 1:
        sequence = reading.sequences[0]
        agent = volume.dicom.get("ContrastBolusAgent", "").strip()
        if sequence is Sequence.T1 and agent and reading.contrast is not False:
            reason = f"Its name “{volume.name}” means T1, and its DICOM header names a contrast agent."
            return _Candidate(volume, Sequence.T1CE, _SURE, reason, bool(reading.copy))
        return _Candidate(volume, sequence, _SURE, f"Recognised by its name “{volume.name}”.", bool(reading.copy))
    if reading.number in NUMBERS and not reading.sequences:
        sequence = DECATHLON[NUMBERS.index(reading.number)]
        reason = f"Channel {reading.number} is {sequence.label} in the order of the Medical Segmentation Decathlon."
        return _Candidate(volume, sequence, _LIKELY, reason)
    return None


def _by_description(volume: Loaded) -> _Candidate | None:
    for name in ("SeriesDescription", "ProtocolName"):
        text = volume.dicom.get(name, "")
        reading = read_description(text)
        if len(reading.sequences) != 1:
            continue
        sequence = reading.sequences[0]
        if sequence is Sequence.T1 and _has_contrast(volume.dicom, reading):
            sequence = Sequence.T1CE
        return _Candidate(volume, sequence, _LIKELY, f"Recognised by its DICOM {name} “{text}”.")
    return None


def _by_physics(volume: Loaded) -> _Candidate | None:
    """Guess from echo, repetition and inversion time, which is only a rule of thumb."""
    echo, repetition, inversion = (
        _number(volume.dicom, name) for name in ("EchoTime", "RepetitionTime", "InversionTime")
    )
    if echo is None:
        return None
    shortest, longest = _FLAIR_INVERSION_MS
    if inversion is not None and shortest <= inversion <= longest and echo >= _LONG_ECHO_MS:
        timing = f"an inversion time of {inversion:g} ms with an echo time of {echo:g} ms"
        return _Candidate(
            volume, Sequence.FLAIR, _PERHAPS, f"Its DICOM header has {timing}, which is typical of FLAIR."
        )
    if inversion is None and echo >= _LONG_ECHO_MS and (repetition or 0) >= _LONG_REPETITION_MS:
        timing = f"an echo time of {echo:g} ms and a repetition time of {repetition:g} ms"
        return _Candidate(volume, Sequence.T2, _PERHAPS, f"Its DICOM header has {timing}, which is typical of T2.")
    if echo <= _SHORT_ECHO_MS:
        contrast = _has_contrast(volume.dicom, read_description(volume.dicom.get("SeriesDescription", "")))
        sequence = Sequence.T1CE if contrast else Sequence.T1
        agent = " and contrast" if contrast else " and no contrast"
        timing = f"an echo time of {echo:g} ms{agent}"
        return _Candidate(
            volume, sequence, _PERHAPS, f"Its DICOM header has {timing}, which is typical of {sequence.label}."
        )
    return None


def _has_contrast(dicom: Mapping[str, str], reading: Reading) -> bool:
    if reading.contrast is not None:
        return reading.contrast
    return bool(dicom.get("ContrastBolusAgent", "").strip())


def _is_other_image(dicom: Mapping[str, str]) -> bool:
    is_other = any(read_description(dicom.get(name, "")).is_other for name in ("SeriesDescription", "ProtocolName"))
    kinds = split_name_tokens(dicom.get("ImageType", ""))
    not_mr = dicom.get("Modality", "MR").strip().upper() not in ("", "MR")
    echo_planar = "ep" in split_name_tokens(dicom.get("ScanningSequence", ""))
    return not_mr or echo_planar or is_other or not _DERIVED.isdisjoint(kinds)


def _number(dicom: Mapping[str, str], name: str) -> float | None:
    try:
        value = float(dicom.get(name, ""))
    except ValueError:
        return None
    return value if value > 0 else None
