"""The measure of sharpness, its synthetic faults, and the table in the documentation."""

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


def test_differences_of_ramp_equal_distances() -> None:
    """Voxels 1, 2, 4 and 6 apart differ by 1, 2, 4 and 6, along each axis."""
    data = ramp()
    values = sharpness.sharpness(data, np.ones(data.shape, bool))
    assert values == pytest.approx([1 / 4, 2 / 4, 6 / 4, 4 / data.std()] * 3, rel=1e-5)


def test_only_voxel_pairs_in_brain_count() -> None:
    data, inside = ramp(), np.zeros((12, 12, 12), bool)
    inside[2:10, 2:10, 2:10] = True
    whole = sharpness.sharpness(np.where(inside, data, np.float32(1000)), inside)
    assert whole == pytest.approx([1 / 4, 2 / 4, 6 / 4, 4 / data[inside].std()] * 3, rel=1e-5)


def test_thick_slices_are_interpolated_means() -> None:
    """Slices 0 to 4 have the mean 2 at position 2. Slices 5 to 9 have the mean 7 at position 7."""
    data = np.broadcast_to(np.arange(10, dtype=np.float32), (3, 3, 10)).copy()
    changed = sharpness.thick(5)(data, np.ones(data.shape, bool), np.random.default_rng(0))
    assert changed[1, 1] == pytest.approx([2, 2, 2, 3, 4, 5, 6, 7, 7, 7], abs=1e-5)


def test_motion_blurs_only_along_its_axis() -> None:
    rng = np.random.default_rng(0)
    data = rng.random((4, 64, 4)).astype(np.float32) + 1
    inside = np.ones(data.shape, bool)
    assert sharpness.moved(0.0)(data, inside, rng) == pytest.approx(data, abs=1e-5)
    moved = sharpness.moved(6.0)(data, inside, rng)
    assert np.abs(moved - data).max() > 0.05
    assert moved.sum(axis=1) == pytest.approx(data.sum(axis=1), rel=0.01), "the centre of k-space is kept"


def test_different_images_are_found_and_equal_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    plain, case = rng.normal(0, 1, (40, 12)), np.arange(40) // 4
    features = {"as they are": list(plain), **{name: list(plain + 50) for name in sharpness.CHANGES}}
    features["motion of up to 3 mm"] = list(plain)
    lines = sharpness.block(features, list(case)).splitlines()
    assert lines[2] == "| slices of 5 mm | 100 | 1.00 |"
    assert lines[3] == "| motion of up to 3 mm | 0 | 0.50 |"


def test_page_gets_table_between_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of 5 mm change each of three synthetic heads of texture, so all are found."""
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
