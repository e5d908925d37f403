"""Slices of a series are sorted into volumes."""

from pathlib import Path

import pytest

from brats_mm.io.dicom.layout import order_slices
from brats_mm.io.dicom.slices import Slice, Stored
from brats_mm.io.dicom.stacks import build_stacks

M = ("ORIGINAL", "PRIMARY", "M")


def one(z: float, number: int = 0, *, echo: float = 10.0, kind: tuple[str, ...] = M, **more: object) -> Slice:
    """Return an axial slice at height z, 200 x 200 voxels of 1 mm."""
    fields: dict[str, object] = {
        "path": Path(f"{z}-{number}.dcm"), "frame": 0, "instance_uid": f"1.{z}.{number}", "number": number,
        "position_mm": (-100.0, -100.0, z), "along": (1.0, 0.0, 0.0), "down": (0.0, 1.0, 0.0),
        "spacing_mm": (1.0, 1.0), "stored": Stored(200, 200), "echo_ms": echo, "image_type": kind,
    }  # fmt: skip
    return Slice(**{**fields, **more})  # type: ignore[arg-type]


def sizes(slices: list[Slice]) -> list[int]:
    return [len(stack.slices) for stack in build_stacks(slices)]


def test_slices_with_slightly_different_echo_times_are_one_volume():
    (stack,) = build_stacks([one(6.0 * z, z, echo=10 + 0.2 * (z % 3)) for z in range(22)])

    assert len(stack.slices) == 22
    assert stack.notes == ("its 22 slices differ in echo time (10 to 10.4 ms) and are used as one volume",)


def test_slices_with_different_image_types_are_one_volume():
    (stack,) = build_stacks([one(6.0 * z, z, kind=(*M, "NORM") if z < 5 else M) for z in range(22)])

    assert len(stack.slices) == 22
    assert stack.notes == ("its 22 slices differ in image type and are used as one volume",)


def test_incomplete_interleaved_echo_is_no_thick_slice_volume():
    """Three slices of the second echo are lost. The first echo alone would look like a volume of 12 mm slices."""
    slices = [one(6.0 * z, z, echo=10 + 0.2 * (z % 2)) for z in range(22) if z % 2 == 0 or z < 15]

    assert sizes(slices) == [18]
    assert "3 of its 21 slices are missing" in order_slices(build_stacks(slices)[0].slices).fault


def test_stray_slice_is_separate_from_complete_volume():
    """At another distance and of another type, for example a reference slice."""
    slices = [one(5.0 * z, z) for z in range(20)] + [one(213.7, 99, kind=(*M, "OTHER"))]

    assert sorted(sizes(slices)) == [1, 20]


def test_two_echoes_at_same_positions_are_two_volumes():
    slices = [one(5.0 * z, z, echo=echo) for z in range(20) for echo in (14.0, 98.0)]

    assert sizes(slices) == [20, 20]


def test_two_echoes_with_jitter_are_two_volumes():
    slices = [one(5.0 * z, z, echo=echo + 0.2 * (z % 2)) for z in range(20) for echo in (14.0, 98.0)]

    assert sizes(slices) == [20, 20]


def test_blocks_with_different_echoes_are_separate():
    """Proton density below and T2 above are two images, although their positions do not overlap."""
    slices = [one(5.0 * z, z, echo=14.0 if z < 10 else 98.0) for z in range(20)]

    assert sizes(slices) == [10, 10]


@pytest.mark.parametrize("kind", ["P", "ADC", "MIP"])
def test_other_image_types_are_never_merged(kind):
    slices = [one(5.0 * z, z, kind=M if z % 2 else ("ORIGINAL", "PRIMARY", kind)) for z in range(20)]

    assert sizes(slices) == [10, 10]


@pytest.mark.parametrize("noise", [1e-6, 1e-4, 2e-3])
def test_noise_in_orientation_and_position_does_not_split_volume(noise):
    slices = [
        one(5.0 * z, z, along=(1.0, noise * (z % 2), 0.0), position_mm=(-100.0 + noise * (z % 3), -100.0, 5.0 * z))
        for z in range(20)
    ]

    assert sizes(slices) == [20]


def test_noise_in_position_does_not_hide_two_images_at_one_position():
    slices = [one(5.0 * z, z, position_mm=(-100.0, -100.0, 5.0 * z)) for z in range(20)]
    slices += [one(5.0 * z, 50 + z, position_mm=(-100.0, -100.0, 5.0 * z + 0.04), acquisition=2) for z in range(20)]

    assert sizes(slices) == [20, 20]


def test_interleaved_acquisitions_are_one_volume():
    """Odd and even slices have different acquisition numbers and the same instance numbers."""
    slices = [one(5.0 * z, z // 2, acquisition=1 + z % 2) for z in range(20)]

    assert sizes(slices) == [20]


def test_long_time_series_notes_use_of_first_volume():
    (stack,) = build_stacks([one(5.0 * z, z, temporal=time) for time in range(6) for z in range(10)])

    assert (len(stack.slices), stack.repeats) == (10, 6)
    assert stack.notes == ("the first of 6 volumes at one position",)
