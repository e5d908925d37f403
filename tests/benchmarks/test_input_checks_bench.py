"""Tables of the input check benchmark, and the page that holds them."""

import sys
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import input_checks

PAGE = """# Trust

<!-- trust input-checks: `benchmarks/input_checks.py` writes this table -->
an old table
<!-- end of trust -->

Between.

<!-- trust front-back: `benchmarks/input_checks.py` writes this table -->
another old table
<!-- end of trust -->

After.
"""
FAULT = "T1 and T2, of 4"
FOUND, MISSED, OTHER = ("swapped sequences",), (), ("no whole brain",)


def row(name: str, case: str, warned: tuple[str, ...], expected: str | None = None) -> input_checks.Row:
    return input_checks.Row(name, case, expected, warned, 0.04)


def made_rows() -> list[input_checks.Row]:
    """Return rows of three cases: one fault found, one missed, one mistaken for another. `turned` has a wrong header."""
    full = f"as it is, {input_checks.format_subset(input_checks.FULL)}"
    rows = [row(full, case, warned) for case, warned in (("a", ()), ("b", FOUND), ("turned", ("turned head",)))]
    for fault in input_checks.FAULTS:
        for case, warned in (("a", FOUND), ("b", MISSED), ("turned", OTHER)):
            rows.append(row(fault.name, case, warned, None if fault.check is None else fault.check.value))
    return rows


def brain(folder: Path, name: str, *, swapped: bool = False) -> None:
    """Write a synthetic head of 1.2 L whose lowest part is at the back, or at the front if its header is wrong."""
    x, y, z = (np.indices((40, 48, 36)) * 4.0).astype(np.float32)
    cerebrum = ((x - 80) / 60) ** 2 + ((y - 96) / 80) ** 2 + ((z - 85) / 50) ** 2 < 1
    cerebellum = ((x - 80) / 40) ** 2 + ((y - 60) / 25) ** 2 + ((z - 40) / 24) ** 2 < 1
    data = (cerebrum | cerebellum) * (100 + x)
    data = data[:, ::-1] if swapped else data
    (folder / name).mkdir(parents=True)
    nib.Nifti1Image(data.astype(np.float32), np.diag([4.0, 4.0, 4.0, 1.0])).to_filename(
        folder / name / f"{name}-t1ce.nii.gz"
    )


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["input_checks.py", *arguments, "--force"])
    input_checks.main()


def test_fault_is_found_only_if_its_check_warns() -> None:
    table = input_checks.detection_table([one for one in made_rows() if one.case != "turned"])
    assert f"| {FAULT} | swapped sequences | 1 of 2 | 0 |" in table
    assert "| left and right swapped | none can | - | 1 |" in table
    assert "| front and back swapped | turned head | 0 of 2 | 1 |" in table


def test_false_alarms_exclude_wrong_headers_only_for_header_checks() -> None:
    table = input_checks.alarm_table(made_rows(), ["turned"])
    cells = {line.split(" | ")[0]: line.split(" | ")[1] for line in table.splitlines()[2:]}
    assert cells["| swapped sequences"] == "1 of 3"
    assert cells["| turned head"] == "0 of 2"


def test_evaluate_replaces_only_its_table_in_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "trust.md"
    page.write_text(PAGE)
    by_case = {name: [one for one in made_rows() if one.case == name] for name in ("a", "b", "turned")}
    cases = [SimpleNamespace(files=SimpleNamespace(name=name)) for name in by_case]
    monkeypatch.setattr(input_checks, "list_labelled_cases", lambda *_, **__: cases)
    monkeypatch.setattr(input_checks, "rows_of", lambda labelled: by_case[labelled.files.name])
    arguments = ("evaluate", "split.json", "--turned", "turned", "-o", str(tmp_path / "rows.json"))
    run(monkeypatch, *arguments, "--page", str(page))
    text = page.read_text()
    assert "3 validation cases. The header of 1 of them swaps front and back" in text
    assert "The check finds 1 of 1." in text
    assert f"| {FAULT} | swapped sequences | 1 of 2 | 0 |" in text
    assert "an old table" not in text
    assert "another old table" in text
    assert text.startswith("# Trust\n\n<!-- trust input-checks")
    assert text.endswith("After.\n")
    assert f"| {FAULT} | swapped sequences | 1 of 2 | 0 |" in capsys.readouterr().out


def test_front_counts_wrong_headers_and_writes_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two correct heads, and one with front and back swapped. The lowest part distinguishes them."""
    for name, swapped in (("a", False), ("b", False), ("wrong", True)):
        brain(tmp_path / "cases", name, swapped=swapped)
    page = tmp_path / "trust.md"
    page.write_text(PAGE)
    run(monkeypatch, "front", str(tmp_path / "cases"), "--turned", "wrong", "--page", str(page))
    text = page.read_text()
    assert "3 brains." in text
    assert "in 2 brains with a right header" in text
    assert "another old table" not in text
    assert "an old table" in text
    cells = {line.split(" | ")[0]: line.split(" | ")[2] for line in text.splitlines() if " of " in line and "|" in line}
    assert cells["| wrong header"] == "1 of 1"
    assert cells["| swapped on purpose"] == "2 of 2"
    assert cells["| right header (false alarms)"] == "0 of 2"


def test_table_is_only_printed_without_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    brain(tmp_path / "cases", "a")
    monkeypatch.chdir(tmp_path)
    run(monkeypatch, "front", str(tmp_path / "cases"))
    assert "| right header (false alarms) |" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["cases"]
