"""The simulated faults of the artefact checks, and the table in the documentation."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import artefacts

from brats_mm.domain.modality import Modality
from brats_mm.domain.volume import Grid, Volume
from brats_mm.trust.input_checks.finding import Check


def test_ghost_is_a_shifted_share_inside_the_brain() -> None:
    data = np.zeros((1, 4, 1), np.float32)
    data[0, :, 0] = (10, 20, 30, 0)
    made = artefacts.ghosted(0.1, 1, axis=1)(data, data != 0)
    assert made[0, :, 0] == pytest.approx([9, 19, 29, 0])


def test_thick_slices_are_interpolated_means() -> None:
    """Slices 0 to 4 have the mean 2 at position 2. Slices 5 to 9 have the mean 7 at position 7."""
    data = np.broadcast_to(np.arange(10, dtype=np.float32), (3, 3, 10)).copy()
    changed = artefacts.thick(5, 1)(data, np.ones(data.shape, bool))
    assert changed[1, 1] == pytest.approx([2, 2, 2, 3, 4, 5, 6, 7, 7, 7], abs=1e-5)


def test_spline_interpolation_has_no_corners() -> None:
    """Linear interpolation is straight between slices. A spline bends there."""
    rng = np.random.default_rng(0)
    data, inside = rng.random((2, 2, 30)).astype(np.float32), np.ones((2, 2, 30), bool)
    straight, bent = (np.abs(np.diff(artefacts.thick(6, order)(data, inside), 2, axis=2)) for order in (1, 3))
    assert (straight < 1e-5).mean() > 0.6
    assert (bent < 1e-5).mean() < 0.1


def test_cavity_is_fluid_of_the_given_radius_in_the_brain() -> None:
    data = np.full((40, 40, 40), 100, np.float32)
    data[:4] = 0
    flair = Volume(data, Grid(data.shape, np.eye(4)))
    made = artefacts.with_cavity({Modality.FLAIR: flair}, (8, 20, 20), 8)[Modality.FLAIR].data
    assert made[10, 20, 20] == pytest.approx(30, rel=0.3)
    assert made[8, 20, 33] == 100
    assert (made[:4] == 0).all()
    assert flair.data[10, 20, 20] == 100, "the input is unchanged"


def test_table_counts_warnings_of_real_and_changed_images() -> None:
    ghost, none = Check.GHOST.value, ""
    rows = [
        artefacts.Row("a", ghost, none, "T1", 5.0, alarm=False),
        artefacts.Row("b", ghost, none, "T1", 50.0, alarm=True),
        artefacts.Row("b", ghost, none, "T2", None, alarm=False),
        artefacts.Row("a", ghost, "ghost of 10%", "T1", 60.0, alarm=True),
        artefacts.Row("a", Check.FLUID.value, none, "T1+FLAIR", 3.0, alarm=False),
    ]
    block = artefacts.page_block(rows, [0.25, 0.35])
    assert block.startswith("2 labelled cases. The checks take 0.3 s of one processor core per case (median).")
    assert [line.split("|")[3:7] for line in block.splitlines()[4:]] == [
        [" real (false alarms) ", " 1 ", " 2 ", " 50 "],
        [" ghost of 10% ", " 1 ", " 1 ", " 100 "],
        [" real (false alarms), T1+FLAIR ", " 0 ", " 1 ", " 0 "],
    ]
