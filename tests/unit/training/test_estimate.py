"""Estimated training hours follow from steps, validations and case preparation."""

import pytest
import torch

from brats_mm.training.estimate import Amount, Measurement, compute_hours
from brats_mm.training.peak_memory import measure_peak_bytes, reset_peak

MIB = 2**20


def _measured(*, prepare_s: float = 0.0, draw_s: float = 0.0, validation_s: float = 0.0) -> Measurement:
    return Measurement(prepare_s, draw_s, 2.0, validation_s, None, None)


def test_epoch_includes_incomplete_last_batch() -> None:
    assert Amount(9, 1, batch_size=4, epochs=1, val_interval=1, num_workers=0).steps_per_epoch == 3


def test_steps_per_epoch_may_be_set() -> None:
    amount = Amount(9, 1, batch_size=4, epochs=10, val_interval=20, num_workers=0, steps=7)
    assert amount.steps_per_epoch == 7
    assert compute_hours(amount, _measured()) == pytest.approx(10 * 7 * 2.0 / 3600)


@pytest.mark.parametrize(
    ("measured", "workers", "seconds"),
    [
        (_measured(), 0, 10 * 3 * 2.0),
        (_measured(draw_s=1.0), 0, 10 * 3 * 3.0),
        (_measured(draw_s=1.0), 1, 10 * 3 * 2.0),  # windows are drawn while the network computes
        (_measured(draw_s=12.0), 3, 10 * 3 * 4.0),  # the network waits for windows
        (_measured(prepare_s=1.0), 0, 10 * 3 * 2.0 + 9 + 4),
        (_measured(validation_s=5.0), 0, 10 * 3 * 2.0 + 2 * 4 * 5.0),  # validated after epochs 5 and 10
    ],
)
def test_total_hours_are_sum_of_parts(measured: Measurement, workers: int, seconds: float) -> None:
    amount = Amount(9, 4, batch_size=4, epochs=10, val_interval=5, num_workers=workers)
    assert compute_hours(amount, measured) == pytest.approx(seconds / 3600)


def test_peak_memory_counts_from_reset() -> None:
    """Freed memory of 80 MiB still raises the peak, and a reset clears it."""
    reset_peak("cpu")
    before = measure_peak_bytes("cpu")
    held = torch.ones(20 * MIB)
    del held
    peak = measure_peak_bytes("cpu")
    if before is None or peak is None:
        pytest.skip("this system does not report the memory of a process")
    assert peak - before > 60 * MIB
