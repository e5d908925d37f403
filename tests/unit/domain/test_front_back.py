"""How far the lowest part of a brain is in front of its centre."""

import numpy as np
import pytest

from brats_mm.domain.orientation import FRONT_LEAD, compute_anterior_offset


def brain(low: slice, high: slice = slice(0, 30)) -> np.ndarray:
    """Return a block of 25 x 30 x 25 voxels whose lowest three slices (12 % of the height) fill only some rows."""
    inside = np.zeros((25, 30, 25), bool)
    inside[:, high, 3:] = True
    inside[:, low, :3] = True
    return inside


@pytest.mark.parametrize(("low", "expected"), [(slice(0, 10), -0.321), (slice(20, 30), 0.321), (slice(10, 20), 0.0)])
def test_lead_is_shift_of_lowest_part_relative_to_length(low: slice, expected: float) -> None:
    """Rows 0 to 9 have a mean of 4.5. All voxels have (22 * 30 * 14.5 + 3 * 10 * 4.5) / 690 = 14.065: 9.565 / 30."""
    lead = compute_anterior_offset(brain(low), (5.0, 5.0, 5.0))
    assert lead == pytest.approx(expected, abs=0.003)
    assert (lead > FRONT_LEAD) == (expected > 0.3)


@pytest.mark.parametrize(
    ("step_mm", "why"),
    [
        ((5.0, 5.0, 3.0), "a slab of 75 mm"),
        ((2.0, 2.0, 5.0), "0.3 L: too small for a brain"),
        ((9.0, 9.0, 9.0), "12 L: too large, so not skull-stripped"),
    ],
)
def test_mask_that_is_no_brain_has_no_lead(step_mm: tuple[float, float, float], why: str) -> None:
    assert compute_anterior_offset(brain(slice(20, 30)), step_mm) is None, why


def test_empty_mask_has_no_lead() -> None:
    assert compute_anterior_offset(np.zeros((4, 4, 4), bool), (40.0, 40.0, 40.0)) is None
