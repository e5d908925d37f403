"""Preprocess raw scans for the model, and bring predictions back to the native grid.

reference -> co-registration -> 1 mm -> (N4) -> brain | engine | -> probabilities on the reference's grid
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from brats_mm.domain.availability import Availability, describe, sort_modalities
from brats_mm.domain.background import LEAST_TOLERANCE, OUTLIER_FACTOR, limit_outliers, remove_background
from brats_mm.domain.case import Case, Scans
from brats_mm.domain.content_warnings import warn_about_content, warn_about_copies
from brats_mm.domain.input_kind import Recognition
from brats_mm.domain.label_map import Mask
from brats_mm.domain.lattice import have_same_voxels, match_lattice
from brats_mm.domain.modality import Modality
from brats_mm.domain.options import PreprocessingOptions
from brats_mm.domain.prediction import Prediction
from brats_mm.domain.preprocessing import (
    MAX_SHEAR_DEG,
    Preparation,
    Quality,
    Step,
    choose_reference,
    make_working_grid,
)
from brats_mm.domain.resample import HALF, resample, resample_signal
from brats_mm.domain.volume import Array, Grid, Volume
from brats_mm.errors import CaseError
from brats_mm.preprocessing.alignment_measures import prepare_side
from brats_mm.preprocessing.bias import n4_bias_correction
from brats_mm.preprocessing.brain import extract_brain, find_brain_warnings, find_volume_warnings
from brats_mm.preprocessing.brain_mask import resample_mask
from brats_mm.preprocessing.itk_volume import build_transform, resample_onto
from brats_mm.preprocessing.registration import (
    MAX_UNMOVED_MM,
    MAX_UNMOVED_STRIPPED_MM,
    Matrix,
    Registered,
    keep_in_place,
    register,
)
from brats_mm.preprocessing.regridding import move_to_grid

MIN_HEAD_ML = 2000.0
"""Smallest tissue volume of a whole head with skull. A real head has 3.0 L, synthetic ones have 3.9 L."""

MIN_USABLE = 0.1
"""Minimum fraction of the head that a sequence must show. Other sequences are left out."""

OnStep = Callable[[str], None]
"""Called with a description before each step. An exception from it stops the preprocessing."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Preprocessed scans, with the data needed to return to the native grid.

    Attributes:
        case: co-registered, skull-stripped volumes at 1 mm on the working grid.
        reference: grid of the results.
        registered: volumes on the working grid before brain extraction. Empty unless kept.
        brain: brain mask on the working grid.
        transforms: for each registered sequence, the transform from points of the reference to its own, in RAS+
            millimetres.
        scans: the scans used, each on its own grid.
    """

    case: Case
    reference: Grid
    registered: Mapping[Modality, Volume]
    brain: Volume
    transforms: Mapping[Modality, Matrix]
    scans: Mapping[Modality, Volume]


def prepare_scans(
    scans: Scans,
    recognition: Recognition,
    options: PreprocessingOptions,
    *,
    brain_mask: Volume | None = None,
    on_step: OnStep | None = None,
) -> Prepared:
    """Register and resample scans, optionally correct their bias, and extract the brain.

    Args:
        scans: the sequences, each on its own grid.
        recognition: recognised kind. Sequences that are already stripped keep their outline.
        options: preprocessing options.
        brain_mask: brain (above 0.5) in the space of one sequence, used instead of brain extraction.
        on_step: called at the start of each step.

    Raises:
        OptionError: the requested reference is missing.
        CaseError: the scans show no head.
    """
    volumes = {m: _zero_background(volume, m in recognition.stripped) for m, volume in scans.volumes.items()}
    reference, reason = choose_reference({m: volume.grid for m, volume in volumes.items()}, options.reference)
    native = volumes[reference].grid
    working = make_working_grid(native)
    log = _Log(on_step or (lambda _: None))
    registrations = _register_all(volumes, reference, recognition.stripped, options.grid_tolerance, log)
    left_out = {m for m, result in registrations.items() if result.alignment.covered < MIN_USABLE}
    used = {m: volume for m, volume in volumes.items() if m not in left_out}
    matrices = {m: result.matrix for m, result in registrations.items() if m not in left_out}
    registered = _resample_all(used, working, matrices, log)
    if options.n4:
        registered = _correct_bias(registered, log)
    if brain_mask is not None:
        brain = _transform_mask(brain_mask, used, matrices, working, log)
    elif stripped := recognition.stripped - left_out:
        brain = _outline_brain({m: used[m] for m in sort_modalities(stripped)}, matrices, working, log)
    else:
        brain = _extract_from_scans(registered, max(scans.volumes[m].foreground_ml for m in used), log)
    if len(volumes) > 1 and recognition.stripped == frozenset(volumes):
        log.warn(
            "All sequences are skull-stripped but have different grids, so they were resampled. If the grids should be "
            "equal, check the headers or raise --grid-tolerance."
        )
    preparation = Preparation(recognition, reference, reason, tuple(log.steps))
    return Prepared(
        case=_build_masked_case(scans, registered, brain, working, preparation),
        reference=native,
        registered=registered if options.keep_intermediate else {},
        brain=Volume(brain.astype(np.float32), working),
        transforms=matrices,
        scans=used,
    )


def _build_masked_case(
    scans: Scans, registered: Mapping[Modality, Volume], brain: Mask, grid: Grid, preparation: Preparation
) -> Case:
    """Return the registered volumes, 0 outside the brain, with all warnings about them."""
    images = {m: Volume(np.where(brain, volume.data, 0), volume.grid) for m, volume in registered.items()}
    contents = [doubt for m in sort_modalities(registered) for doubt in warn_about_content(m, scans.volumes[m])]
    warnings = (*scans.warnings, *contents, *warn_about_copies(images), *preparation.warnings)
    return Case(scans.name, images, grid, warnings, scans.files, preparation)


def to_native_grid(prediction: Prediction, prepared: Prepared) -> Prediction:
    """Bring a prediction for `prepared.case` to the reference's grid by interpolating probabilities and gate weights.

    Interpolates linearly to a finer reference, and averages over the voxels of a coarser one. Labels and entropies are
    derived from these probabilities.
    """
    case, reference = prediction.case, prepared.reference

    def move_back(data: Array) -> Array:
        if reference.shear_deg > MAX_SHEAR_DEG:  # the working grid is orthogonal and has a different field of view
            return move_to_grid(data, case.grid, reference)
        return resample(data, reference.shape)

    def move_signal_back(data: Array) -> Array:
        if reference.shear_deg > MAX_SHEAR_DEG:
            return np.asarray(move_back(data) * (move_back((data != 0).astype(np.float32)) >= HALF), np.float32)
        return resample_signal(data, reference.shape)

    maps = prediction.importance.maps
    gates = {m: {r: move_back(weights) for r, weights in regions.items()} for m, regions in (maps or {}).items()}
    volumes = {m: Volume(move_signal_back(v.data), reference) for m, v in case.volumes.items()}
    return replace(
        prediction,
        case=replace(case, volumes=volumes, grid=reference),
        probabilities={r: np.clip(move_back(probability), 0, 1) for r, probability in prediction.probabilities.items()},
        importance=replace(prediction.importance, maps=None if maps is None else gates),
    )


@dataclass(eq=False)
class _Log:
    """Log of the steps."""

    tell: OnStep
    steps: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, name: str, description: str) -> Iterator[dict[str, float | int | str | bool]]:
        """Time a step. The block fills in its measures and may call `warn` for it."""
        self.tell(description)
        quality: dict[str, float | int | str | bool] = {}
        start = time.perf_counter()
        yield quality
        self.steps.append(Step(name, time.perf_counter() - start, quality))

    def warn(self, *warnings: str) -> None:
        """Add warnings to the step that just ended."""
        last = self.steps[-1]
        self.steps[-1] = replace(last, warnings=(*last.warnings, *warnings))


def _zero_background(volume: Volume, stripped: bool) -> Volume:  # noqa: FBT001 (private)
    """Shift the background of a volume to about 0, the value outside the field of view after resampling."""
    background = volume.background
    if stripped:
        return Volume(remove_background(volume.data, background), volume.grid)
    limited = limit_outliers(volume.data - np.float32(background.value), OUTLIER_FACTOR * background.scale)
    if abs(background.value) <= LEAST_TOLERANCE * background.scale:
        limited = limit_outliers(volume.data, OUTLIER_FACTOR * background.scale)
    return volume if limited is volume.data else Volume(limited, volume.grid)


def _register_all(
    volumes: Mapping[Modality, Volume], reference: Modality, stripped: Availability, tolerance: float, log: _Log
) -> dict[Modality, Registered]:
    """Register all sequences to the reference in threads. The duration of a step is the time spent waiting for it."""
    moving = sort_modalities(set(volumes) - {reference})
    if not moving:
        return {}
    fixed = prepare_side(volumes[reference])

    def align(modality: Modality) -> Registered:
        both_stripped = {modality, reference} <= stripped
        together = match_lattice(volumes[modality].grid, volumes[reference].grid, tolerance) is not None
        if both_stripped and together:
            return keep_in_place(fixed, volumes[modality])
        still_mm = MAX_UNMOVED_STRIPPED_MM if both_stripped else MAX_UNMOVED_MM if together else 0.0
        return register(fixed, volumes[modality], still_mm=still_mm)

    registered = {}
    pool = ThreadPoolExecutor(min(len(moving), os.cpu_count() or 1), thread_name_prefix="register")
    try:
        running = {modality: pool.submit(align, modality) for modality in moving}
        for modality in moving:
            _note_registration(modality, reference, running[modality], stripped, log)
            registered[modality] = running[modality].result()
    finally:
        pool.shutdown(cancel_futures=True)
    return registered


def _note_registration(
    modality: Modality, reference: Modality, running: "Future[Registered]", stripped: Availability, log: _Log
) -> None:
    """Wait for a registration, and record its measures and warnings."""
    with log.step(f"register_{modality.value}", f"registering {modality.label} to {reference.label}") as quality:
        result = running.result()
        quality.update(_round_values(asdict(result.alignment)))
        quality["trusted"] = not result.doubts
    if result.alignment.covered < MIN_USABLE:
        log.warn(f"{modality.label} does not overlap the head in {reference.label}, and was left out.")
    elif result.doubts:
        log.warn(_format_registration_warning(modality, reference, result))
    if {modality, reference} <= stripped and not np.array_equal(result.matrix, np.eye(4)):
        log.warn(
            f"{modality.label} and {reference.label} are skull-stripped but have different grids, and "
            f"{modality.label} was moved by {result.alignment.shift_mm:.1f} mm to fit. If they were already "
            "co-registered, resample them to one grid and use --prepared."
        )


def _format_registration_warning(modality: Modality, reference: Modality, result: Registered) -> str:
    return (
        f"{modality.label} may not be registered to {reference.label}: {', and '.join(result.doubts)}. Check it with "
        "--keep-intermediate. If it is misplaced, omit it or register it manually."
    )


def _resample_all(
    volumes: Mapping[Modality, Volume], grid: Grid, matrices: Mapping[Modality, Matrix], log: _Log
) -> dict[Modality, Volume]:
    with log.step("resample", "resampling to 1 mm") as quality:
        quality["spacing_mm"] = " x ".join(f"{mm:.3g}" for mm in grid.spacing_mm)
        resampled = {
            m: resample_onto(volumes[m], grid, build_transform(matrices.get(m, np.eye(4))))
            for m in sort_modalities(volumes)
        }
        quality["voxels"] = grid.voxels
    return resampled


def _correct_bias(volumes: Mapping[Modality, Volume], log: _Log) -> dict[Modality, Volume]:
    corrected = {}
    for modality, volume in volumes.items():
        with log.step(f"n4_{modality.value}", f"correcting the bias field of {modality.label} (N4)") as quality:
            corrected[modality], span = n4_bias_correction(volume)
            quality["field_span"] = round(span, 3)
    return corrected


def _transform_mask(
    mask: Volume, volumes: Mapping[Modality, Volume], matrices: Mapping[Modality, Matrix], grid: Grid, log: _Log
) -> Mask:
    """Transform a given brain mask with the sequence that it was drawn on."""
    with log.step("brain", "applying the brain mask") as quality:
        owner = next((m for m in sort_modalities(volumes) if have_same_voxels(mask.grid, volumes[m].grid)), None)
        brain = resample_mask(mask, grid, matrices.get(owner, np.eye(4)) if owner else np.eye(4))
        quality["method"] = f"mask given, in the space of {owner.label}" if owner else "mask given, in patient space"
        quality["volume_ml"] = round(np.count_nonzero(brain) * grid.voxel_ml, 1)
    return _check_brain(brain, find_volume_warnings(brain, grid), log)


def _outline_brain(
    stripped: Mapping[Modality, Volume], matrices: Mapping[Modality, Matrix], grid: Grid, log: _Log
) -> Mask:
    """Return the brain outlined by the sequences that are already skull-stripped."""
    with log.step("brain", "extracting the brain") as quality:
        quality["method"] = f"outline of {describe(stripped)}, skull-stripped already"
        outlines = [
            resample_mask(Volume((volume.data != 0).astype(np.float32), volume.grid), grid, matrices.get(m, np.eye(4)))
            for m, volume in stripped.items()
        ]
        mask = np.logical_or.reduce(outlines)
        quality["volume_ml"] = round(np.count_nonzero(mask) * grid.voxel_ml, 1)
    return _check_brain(mask, find_volume_warnings(mask, grid), log)


def _extract_from_scans(volumes: Mapping[Modality, Volume], tissue_ml: float, log: _Log) -> Mask:
    """Extract the brain from scans with skull."""
    grid = next(iter(volumes.values())).grid
    with log.step("brain", "extracting the brain") as quality:
        brain = extract_brain({modality: volume.data for modality, volume in volumes.items()}, grid)
        quality["method"] = "network on each sequence, logits averaged, threshold at the image's border"
        quality["level_logit"] = brain.level
        quality["least_agreement"] = round(brain.agreement, 4)
        quality["volume_ml"] = round(np.count_nonzero(brain.mask) * grid.voxel_ml, 1)
    doubts = list(find_brain_warnings(brain.mask, grid, brain.agreement))
    if tissue_ml < MIN_HEAD_ML:
        doubts.append(
            f"the scans show {tissue_ml / 1000:.1f} L of tissue, less than a whole head. If the skull was removed "
            "already, use --prepared"
        )
    return _check_brain(brain.mask, tuple(doubts), log)


def _check_brain(mask: Mask, doubts: tuple[str, ...], log: _Log) -> Mask:
    if not mask.any():
        raise CaseError(
            "No brain was found in the scans. Check that they show a head. If the skull was removed already, use "
            "--prepared."
        )
    if doubts:
        log.warn(f"The brain mask may be wrong: {', and '.join(doubts)}. Check it with --keep-intermediate.")
    return np.asarray(mask)


def _round_values(values: Mapping[str, float | str]) -> Quality:
    return {name: value if isinstance(value, str) else round(value, 4) for name, value in values.items()}
