"""Fit the input checks on training cases, and measure detections and false alarms on validation cases.

    python benchmarks/input_checks.py fit split.json --dataset-dir CASES --turned NAME NAME
    python benchmarks/input_checks.py evaluate split.json --dataset-dir CASES --turned NAME --page docs/trust.md
    python benchmarks/input_checks.py front CASES --turned NAME NAME --page docs/trust.md

`fit` writes `brats_mm/trust/input_checks/reference.npz`. Needs complete cases, prepared like BraTS data.
`evaluate` checks each validation case as it is, and after each simulated fault. `--turned` names cases whose header is
wrong, as pictures of them show: they are not fitted to, and an alarm for them is right.
`front` checks only front and back, in every brain below a folder, with and without its lowest part.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path

import machine
import numpy as np
import numpy.typing as npt
import torch
from corruptions import Shift, biased, misregistered, noisy, rescaled, thick_slices
from pages import update_page
from scipy import ndimage

from brats_mm.domain.availability import SUBSETS, Availability, format_subset
from brats_mm.domain.case import Case
from brats_mm.domain.label_map import Mask
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.orientation import FRONT_LEAD, compute_anterior_offset
from brats_mm.domain.regions import Region
from brats_mm.domain.resample import find_bounding_box
from brats_mm.domain.volume import Array, Grid, Volume
from brats_mm.io.case import read_case
from brats_mm.io.case_files import find_case
from brats_mm.io.labelled_cases import LabelledCase, list_labelled_cases
from brats_mm.io.reference_labels import read_reference
from brats_mm.io.volume import read_volume
from brats_mm.trust.input_checks.artefacts import ARTEFACTS
from brats_mm.trust.input_checks.check import Check, check_inputs, measure_flat_share
from brats_mm.trust.input_checks.coarse import (
    STEP_MM,
    fit_frame,
    sample_coarse_image,
    sample_in_frame,
    unite_foregrounds,
)
from brats_mm.trust.input_checks.contrast import ContrastModel, compute_contrast_features, find_likely_assignment
from brats_mm.trust.input_checks.orientation import UPRIGHT, measure_shape
from brats_mm.trust.input_checks.reference import REFERENCE_FILE, Reference, load_default_reference, save_reference

FOLDS = 5
PENALTY = 1e-4
CROP_VOXELS = 8
LEAST_LEAD = 1.0
"""Log likelihood by which other contrasts must lead at least."""

Volumes = Mapping[Modality, Volume]
Masks = Mapping[Region, Mask]


@dataclass(frozen=True)
class Measures:
    """Contribution of a training case to the reference."""

    head: Array
    inside: Mask
    features: npt.NDArray[np.float64]
    flat: tuple[float, ...]


def measures_of(volumes: Volumes) -> Measures:
    images = [sample_coarse_image(volumes[modality]) for modality in MODALITIES]
    inside = unite_foregrounds(images)
    frame = fit_frame(inside)
    features = np.stack([compute_contrast_features(image, frame) for image in images])
    return Measures(
        sample_in_frame(inside.astype(np.float32), frame),
        inside,
        features,
        tuple(measure_flat_share(image) for image in images),
    )


def mean_brain_of(measured: Sequence[Measures]) -> Array:
    """Return the mean of the heads, made symmetric because left and right cannot be distinguished."""
    mean = np.mean([item.head for item in measured], axis=0)
    return np.asarray((mean + mean[::-1]) / 2, np.float32)


def fit_contrast(features: npt.NDArray[np.float64]) -> ContrastModel:
    """Fit the logistic regression to (cases, 4, features), with standardised features in two groups of equal weight."""
    flat = features.reshape(-1, features.shape[-1])
    mean, scale = flat.mean(axis=0), flat.std(axis=0) + 1e-3
    described = features.shape[-1] - 4 * 8 * 8
    group = np.sqrt(np.where(np.arange(flat.shape[1]) < described, described, 4 * 8 * 8) * 2.0)
    x = torch.from_numpy((flat - mean) / scale / group)
    target = torch.arange(4).repeat(len(features))
    weights = torch.zeros(x.shape[1], 4, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, bias], max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = torch.nn.functional.cross_entropy(x @ weights + bias, target) + PENALTY * weights.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    own = weights.detach().numpy() / (scale * group)[:, None]
    return ContrastModel(own, bias.detach().numpy() - mean @ own)


def swap_leads(features: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """Return the largest lead of another assignment in left-out cases but one, by number of sequences."""
    leads: dict[int, list[float]] = {size: [] for size in (1, 2, 3, 4)}
    for fold in range(FOLDS):
        held = np.arange(len(features)) % FOLDS == fold
        model = fit_contrast(features[~held])
        for case in model.log_likelihoods(features[held]):
            for subset in SUBSETS:
                leads[len(subset)].append(find_likely_assignment({m: case[m.channel] for m in subset}).lead)
    return tuple(max(LEAST_LEAD, float(np.quantile(leads[size], 0.985))) for size in (1, 2, 3, 4))


def fit(cases: Sequence[LabelledCase], turned: Sequence[str]) -> Reference:
    measured = {labelled.files.name: measures_of(read_case(labelled.files).volumes) for labelled in cases}
    upright = [item for name, item in measured.items() if name not in turned]
    mean = mean_brain_of(upright)
    shapes = [measure_shape(item.inside, mean) for item in upright]
    features = np.stack([item.features for item in upright])
    return Reference(
        mean,
        fit_contrast(features),
        min(shape.likeness for shape in shapes) - 0.02,
        max(shape.lead for shape in shapes) + 0.02,
        swap_leads(features),
        max(share for item in measured.values() for share in item.flat) * 1.25,
    )


@dataclass(frozen=True)
class Fault:
    """A simulated fault.

    Attributes:
        name: row of the table.
        check: check that should find it. None if no check can.
        make: function of a case, its region masks and a random generator that returns the faulty images.
    """

    name: str
    check: Check | None
    make: Callable[[Case, Masks, np.random.Generator], Volumes]


def swap_sequences(a: Modality, b: Modality, given: Availability) -> Fault:
    """Swap the names of two images. With one image, give that of `b` as `a`."""

    def make(case: Case, masks: Masks, rng: np.random.Generator) -> Volumes:
        swapped = {**case.volumes, a: case.volumes[b], b: case.volumes[a]}
        return {modality: swapped[modality] for modality in given}

    return Fault(f"{' and '.join(sorted((a.label, b.label)))}, of {len(given)}", Check.SWAP, make)


def flipped(name: str, check: Check | None, change: Callable[[Array], Array]) -> Fault:
    """Change the voxels of an image in RAS order, and keep the header."""

    def make(case: Case, masks: Masks, rng: np.random.Generator) -> Volumes:
        return {m: replace_data(volume, in_ras(volume, change)) for m, volume in case.volumes.items()}

    return Fault(name, check, make)


def in_ras(volume: Volume, change: Callable[[Array], Array]) -> Array:
    """Apply a function to voxels whose axes have the directions of RAS. The axes of BraTS are in this order already."""
    against = tuple(axis for axis, (_, direction) in enumerate(volume.grid.ras_axes) if direction < 0)
    return np.flip(change(np.flip(volume.data, against)), against)


def replace_data(volume: Volume, data: Array) -> Volume:
    return Volume(np.ascontiguousarray(data, np.float32), volume.grid)


def turned_axes(data: Array) -> Array:
    """Swap the second and third axis, within the same shape."""
    side = min(data.shape[1:])
    middle = (data.shape[1] - side) // 2
    swapped = np.zeros_like(data)
    swapped[:, middle : middle + side, :side] = data[:, middle : middle + side, :side].transpose(0, 2, 1)
    return swapped


def as_flair(name: str, image: Callable[[Case, Masks], Array]) -> Fault:
    """Replace FLAIR by another image."""

    def make(case: Case, masks: Masks, rng: np.random.Generator) -> Volumes:
        flair = case.volumes[Modality.FLAIR]
        return {**case.volumes, Modality.FLAIR: replace_data(flair, image(case, masks))}

    return Fault(name, Check.FLAT, make)


def soft_brain(case: Case, masks: Masks) -> Array:
    return ndimage.gaussian_filter(case.volumes[Modality.FLAIR].foreground.astype(np.float32), 1.0, truncate=2.0)


def soft_labels(case: Case, masks: Masks) -> Array:
    labels = sum(masks[region].astype(np.float32) for region in Region)
    return ndimage.gaussian_filter(np.asarray(labels, np.float32), 0.5, truncate=2.0)


def soft_tumour(case: Case, masks: Masks) -> Array:
    return ndimage.gaussian_filter(masks[Region.WT].astype(np.float32), 2.0, truncate=3.0)


def no_brain(name: str, change: Callable[[Array, Array, np.random.Generator], Array]) -> Fault:
    """Change the images: a function of voxels, coordinates from -1 to 1 of shape (3, h, w, d), and a generator."""

    def make(case: Case, masks: Masks, rng: np.random.Generator) -> Volumes:
        shape = case.grid.shape
        positions = np.stack(
            np.meshgrid(*(np.linspace(-1, 1, side, dtype=np.float32) for side in shape), indexing="ij")
        )
        return {m: replace_data(v, change(v.data, positions, rng)) for m, v in case.volumes.items()}

    return Fault(name, Check.SHAPE, make)


def noise(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    return np.abs(rng.normal(100, 25, shape)).astype(np.float32) + 1


def in_blocks(data: Array, positions: Array, rng: np.random.Generator) -> Array:
    """Shuffle cubes of 20 voxels."""
    sides = [side // 20 for side in data.shape]
    x, y, z = (20 * side for side in sides)
    cubes = data[:x, :y, :z].reshape(sides[0], 20, sides[1], 20, sides[2], 20).transpose(0, 2, 4, 1, 3, 5)
    cubes = np.random.default_rng(0).permutation(cubes.reshape(-1, 20, 20, 20)).reshape(*sides, 20, 20, 20)
    made = np.zeros_like(data)
    made[:x, :y, :z] = cubes.transpose(0, 3, 1, 4, 2, 5).reshape(x, y, z)
    return made


def cut(name: str, share: float, *, top: bool) -> Fault:
    """Keep only the upper or lower share of the brain's height."""

    def make(case: Case, masks: Masks, rng: np.random.Generator) -> Volumes:
        heights = np.flatnonzero(next(iter(case.volumes.values())).foreground.any(axis=(0, 1)))
        length = round(share * len(heights))
        kept = heights[-length:] if top else heights[:length]
        made = {}
        for modality, volume in case.volumes.items():
            data = np.zeros_like(volume.data)
            data[..., kept] = volume.data[..., kept]
            made[modality] = replace_data(volume, data)
        return made

    return Fault(name, Check.SHAPE, make)


FULL = frozenset(MODALITIES)
FAULTS = (
    *(swap_sequences(a, b, FULL) for a, b in combinations(MODALITIES, 2)),
    *(swap_sequences(a, b, frozenset({a, b})) for a, b in combinations(MODALITIES, 2)),
    *(swap_sequences(a, b, frozenset({a})) for a in MODALITIES for b in MODALITIES if a is not b),
    flipped("front and back swapped", Check.TURN, lambda data: data[:, ::-1]),
    flipped("top and bottom swapped", Check.TURN, lambda data: data[:, :, ::-1]),
    flipped("both swapped", Check.TURN, lambda data: data[:, ::-1, ::-1]),
    flipped("second and third axis swapped", Check.TURN, turned_axes),
    flipped("left and right swapped", None, lambda data: data[::-1]),
    as_flair("interpolated brain mask as FLAIR", soft_brain),
    as_flair("interpolated label map as FLAIR", soft_labels),
    as_flair("probability map as FLAIR", soft_tumour),
    no_brain("ellipsoid of noise", lambda data, at, rng: noise(data.shape, rng) * ((at**2).sum(0) < 0.7)),
    no_brain("box of noise", lambda data, at, rng: noise(data.shape, rng) * (np.abs(at).max(0) < 0.67)),
    no_brain("brain in shuffled cubes of 20 mm", in_blocks),
    cut("upper half of a brain", 0.5, top=True),
    cut("lower half of a brain", 0.5, top=False),
)
HARMLESS: tuple[Shift, ...] = (
    rescaled("uint8, up to 255", 255.0, integer=True),
    misregistered(2.0, 2.0),
    noisy(0.1),
    biased(0.4),
    thick_slices(5.0),
)


@dataclass(frozen=True)
class Row:
    """Outcome of one set of images: the table's row, the case, the expected check, and the checks that warned."""

    name: str
    case: str
    expected: str | None
    warned: tuple[str, ...]
    seconds: float


def row(name: str, case: Case, expected: Check | None, volumes: Volumes) -> Row:
    for volume in volumes.values():
        volume.foreground  # noqa: B018 (computed here, because every run needs it anyway)
    begun = time.process_time()
    findings = check_inputs(volumes)
    seconds = time.process_time() - begun
    warned = tuple(dict.fromkeys(item.check.value for item in findings if item.warning is not None))
    return Row(name, case.name, None if expected is None else expected.value, warned, seconds)


def cropped(case: Case, masks: Masks) -> tuple[Case, Masks]:
    """Crop to the brain with a margin, which is faster and changes no check."""
    box = find_bounding_box(np.logical_or.reduce([volume.foreground for volume in case.volumes.values()]))
    wide = tuple(slice(max(0, side.start - CROP_VOXELS), side.stop + CROP_VOXELS) for side in box)
    affine = case.grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [side.start for side in wide]
    parts = {m: np.ascontiguousarray(volume.data[wide]) for m, volume in case.volumes.items()}
    x, y, z = next(iter(parts.values())).shape
    grid = Grid((x, y, z), affine)
    volumes = {m: Volume(data, grid) for m, data in parts.items()}
    return replace(case, volumes=volumes, grid=grid), {region: mask[wide] for region, mask in masks.items()}


def rows_of(labelled: LabelledCase) -> Iterator[Row]:
    whole = read_case(labelled.files)
    case, masks = cropped(whole, read_reference(labelled.label, whole.grid, labelled.scheme))
    rng = np.random.default_rng(0)
    for subset in SUBSETS:
        yield row(f"as it is, {format_subset(subset)}", case, None, {m: case.volumes[m] for m in subset})
    for fault in FAULTS:
        yield row(fault.name, case, fault.check, fault.make(case, masks, rng))
    for shift in HARMLESS:
        yield row(f"harmless: {shift.name}", case, None, shift.apply(case, masks, rng)[0].volumes)


def detection_table(rows: Sequence[Row]) -> str:
    lines = ["| simulated fault | check | found | warned of something else |", "|---|---|---:|---:|"]
    for name in dict.fromkeys(fault.name for fault in FAULTS):
        own = [item for item in rows if item.name == name]
        expected = own[0].expected
        hits = sum(expected in item.warned for item in own)
        others = sum(bool(item.warned) and expected not in item.warned for item in own)
        found = f"{hits} of {len(own)}" if expected else "-"
        lines.append(f"| {name} | {expected or 'none can'} | {found} | {others} |")
    return "\n".join(lines)


def alarm_table(rows: Sequence[Row], turned: Sequence[str]) -> str:
    full = f"as it is, {format_subset(FULL)}"
    heads = ["all four sequences", "all 15 subsets", *(shift.name for shift in HARMLESS)]
    lines = ["| false alarms | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    for check in [check for check in Check if check not in ARTEFACTS]:
        cells = []
        for head in heads:
            names = {"all four sequences": full, "all 15 subsets": "as it is, "}.get(head, f"harmless: {head}")
            own = [
                item
                for item in rows
                if item.name.startswith(names) and (check not in (Check.TURN, Check.FRONT) or item.case not in turned)
            ]
            cells.append(f"{sum(check.value in item.warned for item in own)} of {len(own)}")
        lines.append(f"| {check.value} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def page_block(rows: Sequence[Row], turned: Sequence[str]) -> str:
    untouched = [item for item in rows if item.name == f"as it is, {format_subset(FULL)}"]
    known = [item for item in untouched if item.case in turned]
    named = sum(Check.TURN.value in item.warned for item in known)
    seconds = float(np.median([item.seconds for item in untouched]))
    said = (
        f"{len(untouched)} validation cases. The header of {len(known)} of them swaps front and back, as pictures "
        f"show. The check finds {named} of {len(known)}. They are not in the first table, and are no false alarms. "
        f"The checks take {seconds:.2f} s of one processor core for four sequences (median)."
    )
    usable = [item for item in rows if item.case not in turned]
    return "\n\n".join([said, detection_table(usable), alarm_table(rows, turned)])


LOWEST_MM = (0, 16, 32)
"""Heights cut off the lowest part of a brain."""


def heads_below(folder: Path) -> Iterator[tuple[str, Mask]]:
    """Return the coarse head of each case, from its first readable sequence. Heads that are too low for the check are
    skipped.
    """
    for case in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = find_case(case)
        head = sample_coarse_image(read_volume(Path(next(iter(files.paths.values()))))).inside
        if compute_anterior_offset(head, (STEP_MM,) * 3) is not None:
            yield case.name, head


def detect_swapped_header(head: Mask, reference: Reference) -> tuple[bool, bool]:
    """Return whether the shape check and the lowest-part check detect a head with front and back swapped."""
    shape = measure_shape(head, reference.mean_brain)
    is_turned = shape.likeness >= reference.least_likeness and shape.turn != UPRIGHT
    lead = compute_anterior_offset(head, (STEP_MM,) * 3)
    return is_turned and shape.lead > reference.turn_lead, lead is not None and lead > FRONT_LEAD


def cut_off_lowest(head: Mask, height_mm: float) -> Mask:
    cut = head.copy()
    cut[:, :, : np.flatnonzero(head.any(axis=(0, 1)))[0] + round(height_mm / STEP_MM)] = False
    return cut


def front_block(heads: Mapping[str, Mask], turned: Sequence[str]) -> str:
    """Return the table of the front-and-back checks."""
    reference = load_default_reference()
    leads = {name: float(compute_anterior_offset(head, (STEP_MM,) * 3) or 0) for name, head in heads.items()}
    right = {name: head for name, head in heads.items() if name not in turned}
    wrong = {name: head for name, head in heads.items() if name in turned}

    def span(names: Iterable[str]) -> str:
        values = [leads[name] for name in names]
        return f"{min(values):.2f} to {max(values):.2f}" if values else "-"

    rows = [("wrong header", [detect_swapped_header(head, reference) for head in wrong.values()])]
    for height in LOWEST_MM:
        part = f" without its lowest {height} mm" if height else ""
        cut = [cut_off_lowest(head, height) for head in right.values()]
        rows += [
            (f"swapped on purpose{part}", [detect_swapped_header(head[:, ::-1], reference) for head in cut]),
            (f"right header{part} (false alarms)", [detect_swapped_header(head, reference) for head in cut]),
        ]
    lines = [
        f"{len(heads)} brains. The lowest part lies {span(right)} of the brain's length in front of its centre in "
        f"{len(right)} brains with a right header, and {span(wrong)} in {len(wrong)} with a wrong one.",
        "",
        "| brains | by the shape | by the lowest part | by either |",
        "|---|---:|---:|---:|",
    ]
    for name, told in rows:
        counts = (sum(item[0] for item in told), sum(item[1] for item in told), sum(any(item) for item in told))
        lines.append(f"| {name} | " + " | ".join(f"{count} of {len(told)}" for count in counts) + " |")
    return "\n".join(lines)


def front(options: argparse.Namespace) -> None:
    block = front_block(dict(heads_below(options.datalist)), options.turned)
    update_page(options.page, {"front-back": block}, "benchmarks/input_checks.py")
    print(block)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("fit", "evaluate", "front"))
    parser.add_argument("datalist", type=Path, help="list with training and validation cases, or folder of cases")
    parser.add_argument(
        "--dataset-dir", type=Path, help="folder that the list's paths are relative to (default: folder of the list)"
    )
    parser.add_argument("--turned", nargs="*", default=[], help="cases whose header is known to be wrong")
    parser.add_argument("--page", type=Path, help="Markdown page whose marked tables to replace")
    parser.add_argument("-o", "--output", type=Path, default=Path("input_checks.json"))
    options = machine.parse(parser)
    if options.step == "front":
        front(options)
        return
    section = "training" if options.step == "fit" else "validation"
    cases = list_labelled_cases(options.datalist, dataset_dir=options.dataset_dir, section=section)
    if options.step == "fit":
        reference = fit([item for item in cases if len(item.files.paths) == len(MODALITIES)], options.turned)
        save_reference(reference, REFERENCE_FILE)
        print(reference)
        return
    rows: list[Row] = []
    for labelled in cases:
        rows += rows_of(labelled)
        print(labelled.files.name, len(rows), flush=True)
        options.output.write_text(
            json.dumps({"machine": options.machine, "rows": [asdict(item) for item in rows]}, indent=1)
        )
    block = page_block(rows, options.turned)
    update_page(options.page, {"input-checks": block}, "benchmarks/input_checks.py")
    print(block)


if __name__ == "__main__":
    main()
