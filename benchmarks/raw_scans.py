"""Measure preprocessing of raw scans: registration error, detection of failures, and loss of Dice.

    python benchmarks/raw_scans.py registration CASES --names A B --transforms 24   # target registration error, mm
    python benchmarks/raw_scans.py spoilt CASES --names A B                         # warnings for wrong registrations
    python benchmarks/raw_scans.py segmentation CASES --names A B C                 # Dice of raw and prepared input
    python benchmarks/raw_scans.py picture RAW_CASE -o picture.jpg                  # before, during and after

CASES has a folder of skull-stripped, labelled sequences for each case. Raw scans are simulated from them: a skull
around the brain, a separate movement of each sequence, and averaged slices of 5 mm.
"""

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import machine
import numpy as np
from scipy import ndimage
from skull import Margin, RawHead, add_skull

from brats_mm.domain.case import Scans
from brats_mm.domain.label_map import extract_regions
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.options import PreprocessingOptions
from brats_mm.domain.regions import REGIONS, LabelConvention
from brats_mm.domain.resample import compute_axis_weights
from brats_mm.domain.volume import Grid, Volume
from brats_mm.io.case import find_case, read_case
from brats_mm.preprocessing.alignment_measures import find_registration_warnings, measure, prepare_side
from brats_mm.preprocessing.itk_volume import build_transform, resample_onto
from brats_mm.preprocessing.registration import register

IN_PLANE_MM, SLICE_MM = 0.9, 5.0
PLANES = {"axial": (0, 1, 2), "coronal": (0, 2, 1), "sagittal": (1, 2, 0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("registration", "spoilt", "segmentation"):
        one = commands.add_parser(name)
        one.add_argument("cases", type=Path)
        one.add_argument("--names", nargs="+", required=True)
        one.add_argument("--seed", type=int, default=5)
        if name == "registration":
            one.add_argument("--transforms", type=int, default=24)
    drawn = commands.add_parser("picture")
    drawn.add_argument("case", type=Path)
    drawn.add_argument("-o", "--output", type=Path, required=True)
    drawn.add_argument(
        "--height", type=float, default=0.55, help="position of the slice, as a share of the brain's height"
    )
    options = machine.parse(parser)
    run = {"registration": registration, "spoilt": corrupted, "segmentation": segmentation, "picture": picture}
    run[options.command](options)


def scanned(volume: Volume, moved: np.ndarray, *, slice_mm: float = SLICE_MM, plane: str = "axial") -> Volume:
    """Simulate a scan after the head moved by `moved`, (4, 4), RAS+ millimetres."""
    axes = PLANES[plane]
    corners = volume.grid.corners_mm()
    middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
    side = np.ptp(corners, axis=0)[list(axes)]
    spacing = np.array([IN_PLANE_MM, IN_PLANE_MM, 1.0])
    shape = np.maximum(1, np.rint(side / spacing)).astype(int)
    shape[2] -= shape[2] % round(slice_mm)
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, list(axes)] * spacing
    affine[:3, 3] = middle - affine[:3, :3] @ ((shape - 1) / 2)
    fine = resample_onto(
        volume, Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine), build_transform(np.linalg.inv(moved))
    )
    slices = shape[2] // round(slice_mm)
    data = np.ascontiguousarray(fine.data @ compute_axis_weights(int(shape[2]), int(slices)).T)
    thick = affine.copy()
    thick[:3, 2] *= shape[2] / slices
    thick[:3, 3] += affine[:3, 2] * ((shape[2] / slices - 1) / 2)
    return Volume(data, Grid((data.shape[0], data.shape[1], data.shape[2]), thick))


def rigid(rng: np.random.Generator, degrees: float, mm: float, centre: np.ndarray) -> np.ndarray:
    """Draw a rotation by up to `degrees` about each axis through `centre`, and a shift by up to `mm` along each."""
    turn = np.eye(3)
    for axis in range(3):
        angle = np.deg2rad(rng.uniform(-degrees, degrees))
        one, i, j = np.eye(3), (axis + 1) % 3, (axis + 2) % 3
        one[i, i] = one[j, j] = np.cos(angle)
        one[i, j], one[j, i] = -np.sin(angle), np.sin(angle)
        turn = one @ turn
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = centre - turn @ centre + rng.uniform(-mm, mm, 3)
    return matrix


def brain_points(head: RawHead) -> np.ndarray:
    index = np.argwhere(head.brain)[::500]
    return index @ head.grid.affine[:3, :3].T + head.grid.affine[:3, 3]


def registration(options: argparse.Namespace) -> None:
    """Print the mean error over points of the brain for each transform. Both images have thick slices."""
    rng = np.random.default_rng(options.seed)
    heads = [_head(options, name, seed) for seed, name in enumerate(options.names)]
    errors, seconds, doubted = [], [], 0
    for number in range(options.transforms):
        head = heads[number % len(heads)]
        points = brain_points(head)
        other = (Modality.T1, Modality.T2, Modality.FLAIR)[number % 3]
        plane = "axial" if number % 4 else ("coronal", "sagittal")[number // 4 % 2]
        moved = rigid(rng, 15, 15, points.mean(axis=0))
        reference = scanned(head.images[Modality.T1CE], np.eye(4))
        moving = scanned(head.images[other], moved, plane=plane)
        start = time.perf_counter()
        registered = register(reference, moving)
        seconds.append(time.perf_counter() - start)
        apart = np.linalg.norm(_at(registered.matrix, points) - _at(moved, points), axis=1)
        before = np.linalg.norm(points - _at(moved, points), axis=1).mean()
        errors.append(float(apart.mean()))
        doubted += bool(registered.doubts)
        print(
            json.dumps(
                {
                    "moving": other.value,
                    "plane": plane,
                    "before_mm": round(float(before), 1),
                    "tre_mm": round(errors[-1], 3),
                    "worst_point_mm": round(float(apart.max()), 2),
                    "s": round(seconds[-1], 1),
                    "doubts": registered.doubts,
                    **{k: round(v, 3) for k, v in asdict(registered.alignment).items() if k != "start"},
                }
            ),
            flush=True,
        )
    print(
        f"TRE mm: median {np.median(errors):.2f}, 90 % {np.percentile(errors, 90):.2f}, worst {max(errors):.2f}, "
        f"{np.median(seconds):.1f} s each, {doubted} of {len(errors)} flagged"
    )


def corrupted(options: argparse.Namespace) -> None:
    """Count the warnings for transforms with a known error, and for inputs without a right transform."""
    rng = np.random.default_rng(options.seed)
    heads = [_head(options, name, seed) for seed, name in enumerate(options.names)]
    rows: dict[str, list[bool]] = {}
    for number, head in enumerate(heads):
        points = brain_points(head)
        reference = prepare_side(scanned(head.images[Modality.T1CE], np.eye(4)))
        for other in (Modality.T1, Modality.T2, Modality.FLAIR):
            moving = prepare_side(scanned(head.images[other], np.eye(4)))
            for name, matrix in {"right": np.eye(4), **_wrong_header(rng, points.mean(axis=0))}.items():
                registered = replace(measure(reference, moving, matrix, start="given"), information_before_nats=0.0)
                _note(rows, name, registered)
        stranger = heads[(number + 1) % len(heads)]
        for name, volume in _make_failures(rng, head, stranger, Modality.FLAIR).items():
            registered = register(scanned(head.images[Modality.T1CE], np.eye(4)), volume)
            _note(rows, name, registered.alignment)
    for name, doubted in rows.items():
        print(f"{name}: {sum(doubted)} of {len(doubted)} flagged")


def _note(rows: dict[str, list[bool]], name: str, registered) -> None:
    rows.setdefault(name, []).append(bool(find_registration_warnings(registered)))
    print(name, {k: v if isinstance(v, str) else round(v, 3) for k, v in asdict(registered).items()}, flush=True)


def _wrong_header(rng: np.random.Generator, centre: np.ndarray) -> dict[str, np.ndarray]:
    made = {}
    for mm in (5, 10, 20):
        along = rng.standard_normal(3)
        made[f"shifted by {mm} mm"] = np.eye(4)
        made[f"shifted by {mm} mm"][:3, 3] = mm * along / np.linalg.norm(along)
    for degrees in (5, 10, 20):
        turn, axis = np.eye(4), int(rng.integers(3))
        i, j, angle = (axis + 1) % 3, (axis + 2) % 3, np.deg2rad(degrees)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        turn[:3, 3] = centre - turn[:3, :3] @ centre
        made[f"turned by {degrees} degrees"] = turn
    return made


def _make_failures(rng: np.random.Generator, head: RawHead, stranger: RawHead, other: Modality) -> dict[str, Volume]:
    whole = scanned(head.images[other], np.eye(4))
    noise = np.abs(rng.standard_normal(whole.data.shape)).astype(np.float32)
    upended = whole.grid.affine.copy()
    upended[:3, :3] = upended[:3, [0, 2, 1]] * [1, IN_PLANE_MM / SLICE_MM, SLICE_MM / IN_PLANE_MM]
    far = whole.grid.affine.copy()
    far[:3, 3] += 400
    return {
        "noise": Volume(noise, whole.grid),
        "header turns the head face down": Volume(whole.data, Grid(whole.grid.shape, upended)),
        "header 40 cm away (corrected by the centres)": Volume(whole.data, Grid(whole.grid.shape, far)),
        "another patient": scanned(stranger.images[other], np.eye(4)),
    }


def segmentation(options: argparse.Namespace) -> None:
    """Compute Dice of the prepared case, of T1ce at 1 mm with the others at 5 mm, and of all at 5 mm."""
    from brats_mm.pipeline.segmenter import Segmenter

    rng = np.random.default_rng(options.seed)
    segmenter = Segmenter.from_bundle()
    rows = []
    for seed, name in enumerate(options.names):
        case = read_case(find_case(options.cases / name))
        labels = next((options.cases / name).glob("*seg.nii*"))
        head = _head(options, name, seed)
        centre = brain_points(head).mean(axis=0)
        moves = {m: rigid(rng, 6, 8, centre) for m in MODALITIES}
        moves[Modality.T1CE] = np.eye(4)
        for way in ("straight", "t1ce_1mm", "all_5mm"):
            start = time.perf_counter()
            if way == "straight":
                prediction = segmenter.predict(case)
            else:
                thin = {Modality.T1CE} if way == "t1ce_1mm" else set()
                scans = {m: scanned(v, moves[m], slice_mm=1 if m in thin else 5) for m, v in head.images.items()}
                start = time.perf_counter()
                prediction = segmenter.predict(Scans(name, scans), reference=Modality.T1CE)
            row = {"case": name, "way": way, "s": round(time.perf_counter() - start, 1)}
            row |= _dice(prediction, labels)
            if prediction.case.preparation and prediction.case.preparation.steps:
                row["steps_s"] = {step.name: round(step.seconds, 1) for step in prediction.case.preparation.steps}
                row["warnings"] = prediction.case.preparation.warnings
                row["brain_dice"] = _brain_dice(prediction, head)
            print(json.dumps(row), flush=True)
            rows.append(row)
    for way in ("straight", "t1ce_1mm", "all_5mm"):
        means = {r.value: np.mean([row[r.value] for row in rows if row["way"] == way]) for r in REGIONS}
        print(way, {region: round(float(100 * value), 1) for region, value in means.items()})


def _dice(prediction, labels: Path) -> dict[str, float]:
    """Compute Dice against the labels. On another grid, each voxel is compared with the nearest label."""
    import nibabel as nib

    image = nib.load(labels)
    truth = np.asarray(image.dataobj).astype(np.uint8)
    convention = LabelConvention.BRATS2023 if (truth == 3).any() else LabelConvention.BRATS2021
    regions = extract_regions(truth, convention)
    grid = prediction.case.grid
    dice = {}
    for region in REGIONS:
        exact = Volume(regions[region].astype(np.float32), Grid(truth.shape, image.affine))
        true = exact.data if grid.shape == truth.shape else resample_onto(exact, grid, build_transform(np.eye(4))).data
        if max(grid.spacing_mm) > 2:  # a thick slice covers several true ones
            fine_z = round(max(grid.spacing_mm))
            affine = grid.affine.copy()
            affine[:3, 2] /= fine_z
            affine[:3, 3] -= affine[:3, 2] * (fine_z - 1) / 2
            fine = Grid((grid.shape[0], grid.shape[1], grid.shape[2] * fine_z), affine)
            true = resample_onto(exact, fine, build_transform(np.eye(4))).data
            true = true.reshape(*grid.shape, fine_z).mean(axis=-1)
        mask, wanted = prediction.mask(region), true >= 0.5
        total = mask.sum() + wanted.sum()
        dice[region.value] = round(float(2 * (mask & wanted).sum() / total), 4) if total else 1.0
    return dice


def _brain_dice(prediction, head: RawHead) -> float:
    mask = np.logical_or.reduce([v.data != 0 for v in prediction.case.volumes.values()])
    true = resample_onto(
        Volume(head.brain.astype(np.float32), head.grid), prediction.case.grid, build_transform(np.eye(4))
    )
    wanted = true.data >= 0.5
    return round(float(2 * (mask & wanted).sum() / (mask.sum() + wanted.sum())), 4)


def picture(options: argparse.Namespace) -> None:
    """Draw three rows: on one grid by the headers, registered (edges of T1ce over both), stripped and segmented."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from brats_mm.domain.input_kind import recognise_kind
    from brats_mm.io.case import read_scans
    from brats_mm.pipeline.segmenter import Segmenter
    from brats_mm.preprocessing.scans import prepare_scans

    scans = read_scans(find_case(options.case))
    wanted = PreprocessingOptions(reference=Modality.T1CE, keep_intermediate=True)
    prepared = prepare_scans(scans, recognise_kind(scans.volumes), wanted)
    assert prepared.case.preparation is not None
    for step in prepared.case.preparation.steps:
        print(json.dumps({"step": step.name, "s": round(step.seconds, 2), **step.quality, "warnings": step.warnings}))
    grid = prepared.case.grid
    labels = grid.to_ras(Segmenter.from_bundle().predictor.predict(prepared.case).labels())
    brain = grid.to_ras(prepared.brain.data)
    levels = np.flatnonzero(brain.any(axis=(0, 1)))
    z = int(levels[0] + options.height * (levels[-1] - levels[0]))
    if labels.any():
        z = int((labels > 0).sum(axis=(0, 1)).argmax())
    edges = ndimage.gaussian_gradient_magnitude(grid.to_ras(prepared.registered[Modality.T1CE].data)[..., z], 1.5)
    head = grid.to_ras(prepared.registered[Modality.T1CE].data)[..., z]
    where = np.argwhere(head > 0.15 * np.percentile(head, 99))
    low, high = np.maximum(where.min(axis=0) - 14, 0), where.max(axis=0) + 14
    line = float(np.percentile(edges, 93))
    figure, axes = plt.subplots(3, 4, figsize=(12, 11.2), facecolor="black")
    for column, modality in enumerate(MODALITIES):
        still = resample_onto(scans.volumes[modality], prepared.case.grid, build_transform(np.eye(4)))
        rows = (still, prepared.registered[modality], prepared.case.volumes[modality])
        for row, volume in enumerate(rows):
            image = grid.to_ras(volume.data)[..., z].T
            seen = image[image > 0] if (image > 0).any() else image
            grey = np.clip(image / np.percentile(seen, 99.5), 0, 1)
            shown = _tint(grey, labels[..., z].T) if row == 2 else np.repeat(grey[..., None], 3, axis=-1)
            axis = axes[row, column]
            axis.imshow(shown, origin="lower", interpolation="bilinear")
            if row < 2 and modality is not Modality.T1CE:
                axis.contour(edges.T, [line], colors="#ffb000", linewidths=0.5)
            axis.set_xlim(low[0], high[0])
            axis.set_ylim(low[1], high[1])
            axis.set_axis_off()
            if row == 0:
                axis.set_title(modality.label, color="white", fontsize=13)
    for row, title in enumerate(("by the headers", "registered to T1ce", "stripped and segmented")):
        axes[row, 0].text(
            -0.04,
            0.5,
            title,
            rotation=90,
            color="white",
            fontsize=12,
            va="center",
            ha="right",
            transform=axes[row, 0].transAxes,
        )
    figure.subplots_adjust(left=0.04, right=1, top=0.95, bottom=0, wspace=0.01, hspace=0.01)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.output, dpi=80, facecolor="black", pil_kwargs={"quality": 85})


def _tint(grey: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Draw a slice in grey with its labels: necrosis red, oedema green, enhancing yellow."""
    shown = np.repeat(grey[..., None], 3, axis=-1)
    for value, tint in {1: (0.85, 0.2, 0.2), 2: (0.25, 0.75, 0.35), 3: (1.0, 0.85, 0.2)}.items():
        inside = labels == value
        shown[inside] = 0.72 * shown[inside] + 0.28 * np.array(tint)
        shown[inside & ~ndimage.binary_erosion(inside)] = tint
    return shown


def _head(options: argparse.Namespace, name: str, seed: int) -> RawHead:
    case = read_case(find_case(options.cases / name))
    return add_skull(case.volumes, seed=500 + seed, margin=Margin(12.0, 25.0))


def _at(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


if __name__ == "__main__":
    main()
