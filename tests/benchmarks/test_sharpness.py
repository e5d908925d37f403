"""The measure of sharpness, its made faults, and the table of the documentation."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import sharpness

from brats_mm.domain.modality import Modality
from brats_mm.domain.volume import Grid, Volume

PAGE = """Before.

<!-- trust sharpness: `benchmarks/sharpness.py` writes this table -->
an old table
<!-- end of trust -->

After.
"""


def ramp(shape: tuple[int, int, int] = (12, 12, 12)) -> np.ndarray:
    return np.indices(shape).sum(axis=0).astype(np.float32)


def test_of_a_ramp_the_differences_are_as_large_as_the_distances() -> None:
    """Voxels 1, 2, 4 and 6 apart differ by 1, 2, 4 and 6, along each axis."""
    data = ramp()
    values = sharpness.sharpness(data, np.ones(data.shape, bool))
    assert values == pytest.approx([1 / 4, 2 / 4, 6 / 4, 4 / data.std()] * 3, rel=1e-5)


def test_only_pairs_of_voxels_in_the_brain_count() -> None:
    data, inside = ramp(), np.zeros((12, 12, 12), bool)
    inside[2:10, 2:10, 2:10] = True
    whole = sharpness.sharpness(np.where(inside, data, np.float32(1000)), inside)
    assert whole == pytest.approx([1 / 4, 2 / 4, 6 / 4, 4 / data[inside].std()] * 3, rel=1e-5)


def test_thick_slices_are_means_with_lines_between_their_centres() -> None:
    """Slices 0 to 4 have the mean 2 and lie at 2. Slices 5 to 9 have the mean 7 and lie at 7."""
    data = np.broadcast_to(np.arange(10, dtype=np.float32), (3, 3, 10)).copy()
    changed = sharpness.thick(5)(data, np.ones(data.shape, bool), np.random.default_rng(0))
    assert changed[1, 1] == pytest.approx([2, 2, 2, 3, 4, 5, 6, 7, 7, 7], abs=1e-5)


def test_no_motion_changes_nothing_and_motion_blurs_along_its_axis_alone() -> None:
    rng = np.random.default_rng(0)
    data = rng.random((4, 64, 4)).astype(np.float32) + 1
    inside = np.ones(data.shape, bool)
    assert sharpness.moved(0.0)(data, inside, rng) == pytest.approx(data, abs=1e-5)
    moved = sharpness.moved(6.0)(data, inside, rng)
    assert np.abs(moved - data).max() > 0.05
    assert moved.sum(axis=1) == pytest.approx(data.sum(axis=1), rel=0.01), "the centre of k-space is kept"


def test_faults_that_differ_are_all_found_and_equal_images_are_not() -> None:
    rng = np.random.default_rng(0)
    plain, case = rng.normal(0, 1, (40, 12)), np.arange(40) // 4
    features = {"as they are": list(plain), **{name: list(plain + 50) for name in sharpness.CHANGES}}
    features["motion of up to 3 mm"] = list(plain)
    lines = sharpness.block(features, list(case)).splitlines()
    assert lines[2] == "| slices of 5 mm | 100 | 1.00 |"
    assert lines[3] == "| motion of up to 3 mm | 0 | 0.50 |"


def test_the_page_gets_the_table_between_its_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three made heads of texture: slices of 5 mm change every image, so all are found."""
    page = tmp_path / "trust.md"
    page.write_text(PAGE)
    rng = np.random.default_rng(0)
    volumes = []
    for _ in range(3):
        data = np.zeros((60, 24, 24), np.float32)
        data[5:55, 2:22, 2:22] = rng.random((50, 20, 20)) + 1
        volumes.append({Modality.FLAIR: Volume(data, Grid(data.shape, np.eye(4)))})
    cases = [SimpleNamespace(files=SimpleNamespace(name=str(number))) for number in range(3)]
    monkeypatch.setattr(sharpness, "chosen_cases", lambda _: cases)
    monkeypatch.setattr(sharpness, "read_case", lambda files: SimpleNamespace(volumes=volumes[int(files.name)]))
    monkeypatch.setattr(sys, "argv", ["sharpness.py", "split.json", "--page", str(page), "--force"])
    sharpness.main()
    text = page.read_text()
    assert "| slices of 5 mm | 100 | 1.00 |" in text
    assert "an old table" not in text
    assert text.startswith("Before.\n\n<!-- trust sharpness")
    assert text.endswith("After.\n")
