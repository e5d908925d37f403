"""Classification of a labelled table of header combinations: accuracy, and no error where the verdict is confident."""

import csv
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from brats_mm.domain.modality import Modality
from brats_mm.io.dicom.classify import classify
from brats_mm.io.dicom.facts import HeaderFacts, Verdict

TABLE = Path(__file__).with_name("header_table.csv")
EXTRA = {
    "b": lambda value: {"b_value": float(value)},
    "angio": lambda value: {"is_angio": value == "Y"},
    "repeats": lambda value: {"repeats": int(value)},
    "sop": lambda value: {"sop_class": value},
    "body": lambda value: {"body_part": value},
    "acqcontrast": lambda value: {"acquisition_contrast": value},
    "modality": lambda value: {"modality": value},
}


def rows() -> Iterator[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as stream:
        yield from csv.DictReader(stream)


def facts_of(row: dict[str, str]) -> HeaderFacts:
    def several(name: str) -> tuple[str, ...]:
        return tuple(part for part in row[name].split("/") if part)

    def number(name: str) -> float | None:
        return float(row[name]) if row[name] else None

    facts = HeaderFacts(
        description=row["description"],
        sequence_name=row["sequence_name"],
        image_type=several("image_type"),
        scanning_sequence=several("scanning"),
        sequence_variant=several("variant"),
        scan_options=several("options"),
        contrast_agent=row["agent"],
        repetition_ms=number("tr"),
        echo_ms=number("te"),
        inversion_ms=number("ti"),
        flip_deg=number("flip"),
        is_3d={"3D": True, "2D": False}.get(row["dim"]),
        slices=int(row["slices"]),
    )
    for more in filter(None, row["more"].split(";")):
        key, value = more.split("=")
        facts = replace(facts, **EXTRA[key](value))
    return facts


def message(verdict: Verdict) -> str:
    return verdict.modality.label if verdict.modality else "other"


def test_table_is_large_and_has_no_duplicates() -> None:
    table = [tuple(row.values()) for row in rows()]

    assert 150 <= len(table) == len(set(table))
    assert {"Siemens", "GE", "Philips", "Canon"} <= {row[0] for row in table}


def test_confident_verdicts_are_always_right_and_most_others_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Rows labelled `other?T2` are ambiguous on purpose: `other` and `T2` both count as right."""
    right, confident, wrong, table = 0, 0, [], list(rows())
    for row in table:
        verdict = classify(facts_of(row))
        expected = row["expected"].split("?")
        ok = message(verdict) in expected
        right += ok
        confident += verdict.is_confident
        if not ok:
            wrong.append(
                (verdict.is_confident, row["vendor"], row["description"], row["expected"], message(verdict), verdict)
            )
    summary = f"DICOM series: {right} of {len(table)} right ({right / len(table):.1%}), {confident} confident"
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join([summary, *(f"  wrong: {one}" for one in wrong)]) + "\n")

    assert [one for one in wrong if one[0]] == []
    assert right / len(table) >= 0.97
    assert confident / len(table) >= 0.85


def test_every_verdict_has_evidence() -> None:
    for row in rows():
        verdict = classify(facts_of(row))

        assert verdict.evidence
        assert all(sentence.endswith(".") for sentence in verdict.evidence), verdict.evidence
        assert 0 <= verdict.confidence <= 1


def test_reformat_names_its_source() -> None:
    row = next(row for row in rows() if row["description"] == "t1_mprage_KM_MPR_tra")
    verdict = classify(facts_of(row))

    assert (verdict.modality, verdict.underlying) == (None, Modality.T1CE)


def test_conflict_of_timing_and_description_is_left_to_user() -> None:
    verdict = classify(HeaderFacts(description="T1", scanning_sequence=("SE",), echo_ms=100.0, repetition_ms=4500.0))

    assert verdict.confidence < 0.5
    assert "contradict" in verdict.evidence[-1]
