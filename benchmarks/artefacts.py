"""Measure the checks for ghosts of motion, thick slices and large fluid-filled spaces: hits and false alarms.

    python benchmarks/artefacts.py split.json --dataset-dir CASES --page docs/trust.md

Each training and validation case, in a random order, is checked as it is and after each simulated fault.
One sequence of the case gets the ghosts and the thick slices. The cavities are balls of fluid around a random voxel of
the tumour.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType

import machine
import numpy as np
from input_checks import cropped
from pages import update_page
from scipy import ndimage

from brats_mm.domain.availability import Availability, format_subset, sort_modalities
from brats_mm.domain.label_map import Mask
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.regions import Region
from brats_mm.domain.volume import Array, Volume
from brats_mm.io.case import read_case
from brats_mm.io.labelled_cases import LabelledCase, list_labelled_cases
from brats_mm.io.reference_labels import read_reference
from brats_mm.trust.input_checks.artefacts import (
    ARTEFACTS,
    MAX_THICK_SHARPNESS,
    MIN_FLUID_MM,
    MIN_GHOST_SCORE,
    check_artefacts,
    compute_ghost_score,
    measure_fluid_radius_mm,
    measure_slice_sharpness,
)
from brats_mm.trust.input_checks.finding import Check

Volumes = Mapping[Modality, Volume]

PAIR: Availability = frozenset({Modality.T1, Modality.FLAIR})
LIMITS: Mapping[Check, str] = MappingProxyType(
    {
        Check.GHOST: f"more than {MIN_GHOST_SCORE:g} standard deviations",
        Check.SLICES: f"less than {MAX_THICK_SHARPNESS:g} of the second blurriest axis",
        Check.FLUID: f"radius of more than {MIN_FLUID_MM:g} mm",
    }
)
FLUID_VALUES: Mapping[Modality, float] = MappingProxyType(
    {Modality.T1: 0.35, Modality.T1CE: 0.35, Modality.T2: 2.2, Modality.FLAIR: 0.3}
)
"""Grey values of a simulated cavity, relative to the median of the brain."""


@dataclass(frozen=True)
class Row:
    """A score of one set of images.

    Attributes:
        case: name of the case.
        check: the check.
        fault: simulated fault. Empty for the case as it is.
        images: sequences that were scored.
        score: the score. None if the check does not apply.
        alarm: whether the check warned.
    """

    case: str
    check: str
    fault: str
    images: str
    score: float | None
    alarm: bool


def ghosted(share: float, shift_voxels: int, axis: int) -> Callable[[Array, Mask], Array]:
    """Add a copy of the head, shifted along an axis, as a share of the image."""

    def change(data: Array, inside: Mask) -> Array:
        copy = np.roll(data * inside, shift_voxels, axis)
        return np.asarray((data * (1 - share) + copy * share) * inside, np.float32)

    return change


def thick(slice_voxels: int, order: int) -> Callable[[Array, Mask], Array]:
    """Average slices along the third axis, and interpolate between them, linearly (1) or by a spline (order 3)."""

    def change(data: Array, inside: Mask) -> Array:
        height = data.shape[2]
        edges = np.linspace(0, height, max(2, round(height / slice_voxels)) + 1).astype(np.int64)
        weight = np.maximum(np.add.reduceat(inside.astype(np.float32), edges[:-1], axis=2), 1e-3)
        slices = np.add.reduceat(data * inside, edges[:-1], axis=2) / weight
        at = (np.arange(height) + 0.5) * slices.shape[2] / height - 0.5
        if order == 1:
            low = np.clip(np.floor(at).astype(np.int64), 0, slices.shape[2] - 1)
            high, share = np.minimum(low + 1, slices.shape[2] - 1), np.clip(at - low, 0, 1).astype(np.float32)
            made = slices[..., low] * (1 - share) + slices[..., high] * share
        else:
            zoom = (1, 1, height / slices.shape[2])
            made = ndimage.zoom(slices, zoom, order=order, grid_mode=True, mode="nearest")
        return np.asarray(made * inside, np.float32)

    return change


def with_cavity(volumes: Volumes, centre: Sequence[int], radius_mm: float) -> Volumes:
    """Replace a ball of the brain by fluid, with a blurred border and 5 % noise."""
    head = np.logical_or.reduce([volume.foreground for volume in volumes.values()])
    spacing = next(iter(volumes.values())).grid.spacing_mm
    reach = [int(np.ceil(radius_mm / mm)) + 3 for mm in spacing]
    box = tuple(
        slice(max(0, at - far), min(side, at + far + 1))
        for at, far, side in zip(centre, reach, head.shape, strict=True)
    )
    distances = [
        ((np.arange(part.start, part.stop) - at) * mm) ** 2 for part, at, mm in zip(box, centre, spacing, strict=True)
    ]
    squares = distances[0][:, None, None] + distances[1][None, :, None] + distances[2][None, None, :]
    ball = ndimage.gaussian_filter((squares <= radius_mm**2).astype(np.float32), 1.0)
    made = {}
    for modality, volume in volumes.items():
        fluid = FLUID_VALUES[modality] * float(np.median(volume.data[head]))
        noise = 1 + 0.05 * np.random.default_rng(modality.channel).standard_normal(ball.shape)
        share = ball * head[box]
        data = volume.data.copy()
        data[box] = data[box] * (1 - share) + share * fluid * noise
        made[modality] = replace(volume, data=data)
    return made


def score_case(labelled: LabelledCase, rng: np.random.Generator) -> tuple[list[Row], float]:
    """Return the scores of a case, as it is and with each fault, and the processor seconds of the check as it is."""
    whole = read_case(labelled.files)
    case, masks = cropped(whole, read_reference(labelled.label, whole.grid, labelled.scheme))
    tumour = masks[Region.WT]
    name, rows = labelled.files.name, []
    for volume in case.volumes.values():
        volume.foreground  # noqa: B018 (computed here, because every run needs it anyway)
    begun = time.process_time()
    check_artefacts(case.volumes)
    seconds = time.process_time() - begun
    for modality, volume in case.volumes.items():
        rows += _rows_of_volume(name, "", modality, volume)
    changed = sort_modalities(case.volumes)[int(rng.integers(len(case.volumes)))]
    volume, axis = case.volumes[changed], int(rng.integers(2))
    for share in (0.1, 0.2):
        shift = int(rng.integers(40, 111))
        data = ghosted(share, shift, axis)(volume.data, volume.foreground)
        rows.append(
            _row(name, Check.GHOST, f"ghost of {share:.0%}", changed.label, compute_ghost_score(_like(volume, data)))
        )
    for slice_mm in (5, 6):
        for order, how in ((1, "linearly"), (3, "by a spline")):
            data = thick(slice_mm, order)(volume.data, volume.foreground)
            score = measure_slice_sharpness(_like(volume, data))
            rows.append(_row(name, Check.SLICES, f"slices of {slice_mm} mm, interpolated {how}", changed.label, score))
    rows += _fluid_rows(name, "", case.volumes)
    inside = np.argwhere(tumour)
    if len(inside):
        for radius in (10, 15, 20):
            made = with_cavity(case.volumes, inside[int(rng.integers(len(inside)))], radius)
            rows += _fluid_rows(name, f"cavity of {radius} mm radius", made)
    return rows, seconds


def _like(volume: Volume, data: Array) -> Volume:
    return Volume(data, volume.grid)


def _rows_of_volume(name: str, fault: str, modality: Modality, volume: Volume) -> list[Row]:
    return [
        _row(name, Check.GHOST, fault, modality.label, compute_ghost_score(volume)),
        _row(name, Check.SLICES, fault, modality.label, measure_slice_sharpness(volume)),
    ]


def _fluid_rows(name: str, fault: str, volumes: Volumes) -> list[Row]:
    subsets = [subset for subset in (frozenset(MODALITIES), PAIR) if subset <= volumes.keys()]
    return [
        _row(
            name,
            Check.FLUID,
            fault,
            format_subset(subset),
            measure_fluid_radius_mm({m: volumes[m] for m in sort_modalities(subset)}),
        )
        for subset in subsets
    ]


def _row(name: str, check: Check, fault: str, images: str, score: float | None) -> Row:
    if score is None:
        return Row(name, check.value, fault, images, None, alarm=False)
    is_alarm = {
        Check.GHOST: score > MIN_GHOST_SCORE,
        Check.SLICES: score < MAX_THICK_SHARPNESS,
        Check.FLUID: score > MIN_FLUID_MM,
    }[check]
    return Row(name, check.value, fault, images, score, alarm=is_alarm)


def page_block(rows: Sequence[Row], seconds: Sequence[float]) -> str:
    """Return the table of hits and false alarms."""
    cases = len({row.case for row in rows})
    lines = [
        f"{cases} labelled cases. The checks take {np.median(seconds):.1f} s of one processor core per case (median).",
        "",
        "| check | warns at | images | warned | of | share, % |",
        "|---|---|---|---:|---:|---:|",
    ]
    for check in ARTEFACTS:
        own = [row for row in rows if row.check == check.value and row.score is not None]
        for fault in dict.fromkeys(row.fault for row in own):
            names = dict.fromkeys(row.images for row in own) if check is Check.FLUID else [""]
            for images in names:
                chosen = [row for row in own if row.fault == fault and (not images or row.images == images)]
                if chosen:
                    lines.append(_line(check, fault or "real (false alarms)", images, chosen))
    return "\n".join(lines)


def _line(check: Check, fault: str, images: str, rows: Sequence[Row]) -> str:
    warned = sum(row.alarm for row in rows)
    what = f"{fault}, {images}" if images else fault
    return f"| {check.value} | {LIMITS[check]} | {what} | {warned} | {len(rows)} | {100 * warned / len(rows):.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datalist", type=Path, help="list with training and validation cases")
    parser.add_argument(
        "--dataset-dir", type=Path, help="folder that the list's paths are relative to (default: folder of the list)"
    )
    parser.add_argument("--cases", type=int, help="number of cases, in a random order (default: all)")
    parser.add_argument("--page", type=Path, help="Markdown page whose marked table to replace")
    parser.add_argument("-o", "--output", type=Path, default=Path("artefacts.json"))
    options = machine.parse(parser)
    cases = [
        case
        for section in ("training", "validation")
        for case in list_labelled_cases(options.datalist, dataset_dir=options.dataset_dir, section=section)
    ]
    rows: list[Row] = []
    seconds: list[float] = []
    for at in np.random.default_rng(0).permutation(len(cases))[: options.cases]:
        own, spent = score_case(cases[at], np.random.default_rng(int(at)))
        rows += own
        seconds.append(spent)
        print(cases[at].files.name, len(seconds), flush=True)
        options.output.write_text(
            json.dumps(
                {"machine": options.machine, "seconds": seconds, "rows": [asdict(row) for row in rows]}, indent=1
            )
        )
    made = page_block(rows, seconds)
    update_page(options.page, {"artefacts": made}, "benchmarks/artefacts.py")
    print(made)


if __name__ == "__main__":
    main()
