"""Raw scans made ready for the model, and what the model says brought back: the steps in their order.

reference -> co-registration -> 1 mm -> (N4) -> brain | engine | -> probabilities on the reference's grid
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from brats_mm.domain.availability import describe, ordered
from brats_mm.domain.background import LEAST_TOLERANCE, OUTLIER_FACTOR, limit_outliers, without_background
from brats_mm.domain.case import Case, Scans
from brats_mm.domain.input_kind import Recognition, on_one_grid
from brats_mm.domain.label_map import Mask
from brats_mm.domain.modality import Modality
from brats_mm.domain.prediction import Prediction
from brats_mm.domain.preprocessing import (
    Preparation,
    PreprocessingOptions,
    Quality,
    Step,
    choose_reference,
    working_grid,
)
from brats_mm.domain.resample import HALF, resample, resample_signal
from brats_mm.domain.volume import Grid, Volume
from brats_mm.errors import CaseError
from brats_mm.preprocessing.bias import even_out
from brats_mm.preprocessing.brain import brain_doubts, extract_brain, volume_doubts
from brats_mm.preprocessing.itk_volume import resample_onto, transform_of
from brats_mm.preprocessing.registration import Matrix, Registered, register

LEAST_HEAD_ML = 2000.0
"""Scans of a whole head with skull hold more tissue than this: 3.0 L in the real head, 3.9 L in made ones."""

LEAST_USABLE = 0.1
"""A sequence that shows less of the head than this is left out."""

OnStep = Callable[[str], None]
"""Called with a sentence before each step; what it raises stops the preparation."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Raw scans ready for the model, and the way back.

    Attributes:
        case: co-registered, 1 mm, skull-stripped; its grid is the working grid.
        reference: the grid on which results are to lie.
        registered: the volumes on the working grid before the brain was extracted; empty unless kept.
        brain: the brain on the working grid.
        transforms: for each sequence that was registered, from points of the reference to its own, RAS+ millimetres.
        scans: the scans that are used, each on its own grid.
    """

    case: Case
    reference: Grid
    registered: Mapping[Modality, Volume]
    brain: Volume
    transforms: Mapping[Modality, Matrix]
    scans: Mapping[Modality, Volume]


def prepare_scans(
    scans: Scans, recognition: Recognition, options: PreprocessingOptions, *, on_step: OnStep | None = None
) -> Prepared:
    """Co-register, resample, even out if asked for, and extract the brain.

    Args:
        scans: the sequences, each on its own grid.
        recognition: what they were taken for; the sequences that are stripped already keep their own outline.
        options: what is wanted.
        on_step: told of each step as it begins.

    Raises:
        OptionError: the wanted reference is not there.
        CaseError: there is no head in the scans.
    """
    volumes = {m: _cleaned(volume, m in recognition.stripped) for m, volume in scans.volumes.items()}
    grids = {modality: volume.grid for modality, volume in volumes.items()}
    reference, reason = choose_reference(grids, options.reference)
    log = _Log(on_step or (lambda _: None))
    found = _register_all(volumes, reference, log)
    left_out = {m for m, one in found.items() if one.alignment.covered < LEAST_USABLE}
    kept = {m: volume for m, volume in volumes.items() if m not in left_out}
    matrices = {m: one.matrix for m, one in found.items() if m not in left_out}
    working = working_grid(grids[reference])
    registered = _resampled(kept, working, matrices, log)
    if options.n4:
        registered = _evened(registered, log)
    outlines = {
        m: resample_onto(_outline(kept[m]), working, transform_of(matrices.get(m, np.eye(4)))).data >= HALF
        for m in ordered(recognition.stripped - left_out)
    }
    tissue_ml = max(scans.volumes[m].foreground_ml for m in kept)
    brain = _outlined_brain(outlines, working, log) if outlines else _found_brain(registered, tissue_ml, log)
    images = {m: Volume(np.where(brain, volume.data, 0), volume.grid) for m, volume in registered.items()}
    preparation = Preparation(recognition, reference, reason, tuple(log.steps))
    case = Case(scans.name, images, working, (*scans.warnings, *preparation.warnings), scans.files, preparation)
    shown = registered if options.keep_intermediate else {}
    return Prepared(case, grids[reference], shown, Volume(brain.astype(np.float32), working), matrices, kept)


def back_on_reference(prediction: Prediction, prepared: Prepared) -> Prediction:
    """A prediction for `prepared.case` on the reference's grid: probabilities and gate weights are interpolated.

    Linear where the reference is finer than the working grid, the average of what a voxel covers where it is coarser;
    labels and entropies follow from these probabilities there.
    """
    shape = prepared.reference.shape
    case = prediction.case
    volumes = {m: Volume(resample_signal(v.data, shape), prepared.reference) for m, v in case.volumes.items()}
    maps = prediction.importance.maps
    on_grid = {m: {r: resample(one, shape) for r, one in regions.items()} for m, regions in (maps or {}).items()}
    return replace(
        prediction,
        case=replace(case, volumes=volumes, grid=prepared.reference),
        probabilities={r: np.clip(resample(one, shape), 0, 1) for r, one in prediction.probabilities.items()},
        importance=replace(prediction.importance, maps=None if maps is None else on_grid),
    )


@dataclass(eq=False)
class _Log:
    """The steps so far."""

    tell: OnStep
    steps: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, name: str, said: str) -> Iterator[dict[str, float | int | str | bool]]:
        """A step to be timed; the block fills in what was measured, and may call `warn` for the step."""
        self.tell(said)
        quality: dict[str, float | int | str | bool] = {}
        begun = time.perf_counter()
        yield quality
        self.steps.append(Step(name, time.perf_counter() - begun, quality))

    def warn(self, *warnings: str) -> None:
        """Warnings of the step that just ended."""
        last = self.steps[-1]
        self.steps[-1] = replace(last, warnings=(*last.warnings, *warnings))


def _cleaned(volume: Volume, stripped: bool) -> Volume:  # noqa: FBT001 (private)
    """A volume whose surroundings are about 0, which is what resampling fills in beyond the field of view."""
    background = volume.background
    if stripped:
        return Volume(without_background(volume.data, background), volume.grid)
    limited = limit_outliers(volume.data - np.float32(background.value), OUTLIER_FACTOR * background.scale)
    if abs(background.value) <= LEAST_TOLERANCE * background.scale:
        limited = limit_outliers(volume.data, OUTLIER_FACTOR * background.scale)
    return volume if limited is volume.data else Volume(limited, volume.grid)


def _outline(volume: Volume) -> Volume:
    """A stripped sequence's brain, as a volume of 0 and 1."""
    return Volume((volume.data != 0).astype(np.float32), volume.grid)


def _register_all(volumes: Mapping[Modality, Volume], reference: Modality, log: _Log) -> dict[Modality, Registered]:
    found = {}
    for modality in ordered(set(volumes) - {reference}):
        with log.step(f"register_{modality.value}", f"registering {modality.label} to {reference.label}") as quality:
            same = on_one_grid(volumes[modality].grid, volumes[reference].grid)
            one = found[modality] = register(volumes[reference], volumes[modality], same_grid=same)
            quality.update(_rounded(asdict(one.alignment)))
            quality["trusted"] = not one.doubts
        if one.alignment.covered < LEAST_USABLE:
            log.warn(f"{modality.label} shows nothing of the head that {reference.label} shows, and was left out.")
        elif one.doubts:
            log.warn(_doubted(modality, reference, one))
    return found


def _doubted(modality: Modality, reference: Modality, one: Registered) -> str:
    return (
        f"{modality.label} may not be registered to {reference.label}: {', and '.join(one.doubts)}. Look at it with "
        "--keep-intermediate; if it lies wrong, leave it out or register it yourself."
    )


def _resampled(
    volumes: Mapping[Modality, Volume], grid: Grid, matrices: Mapping[Modality, Matrix], log: _Log
) -> dict[Modality, Volume]:
    with log.step("resample", "resampling to 1 mm") as quality:
        quality["spacing_mm"] = " x ".join(f"{mm:.3g}" for mm in grid.spacing_mm)
        made = {m: resample_onto(volumes[m], grid, transform_of(matrices.get(m, np.eye(4)))) for m in ordered(volumes)}
        quality["voxels"] = grid.voxels
    return made


def _evened(volumes: Mapping[Modality, Volume], log: _Log) -> dict[Modality, Volume]:
    made = {}
    for modality, volume in volumes.items():
        with log.step(f"n4_{modality.value}", f"evening out {modality.label} (N4)") as quality:
            made[modality], span = even_out(volume)
            quality["field_span"] = round(span, 3)
    return made


def _outlined_brain(outlines: Mapping[Modality, Mask], grid: Grid, log: _Log) -> Mask:
    """The brain as the sequences that are skull-stripped already show it."""
    with log.step("brain", "extracting the brain") as quality:
        quality["method"] = f"outline of {describe(outlines)}, skull-stripped already"
        mask = np.logical_or.reduce(list(outlines.values()))
        quality["volume_ml"] = round(np.count_nonzero(mask) * grid.voxel_ml, 1)
    return _checked_brain(mask, volume_doubts(mask, grid), log)


def _found_brain(volumes: Mapping[Modality, Volume], tissue_ml: float, log: _Log) -> Mask:
    """The brain as the network finds it in scans with skull."""
    grid = next(iter(volumes.values())).grid
    with log.step("brain", "extracting the brain") as quality:
        brain = extract_brain({modality: volume.data for modality, volume in volumes.items()}, grid)
        quality["method"] = "network on each sequence, logits averaged, cut where the image has a border"
        quality["level_logit"] = brain.level
        quality["least_agreement"] = round(brain.agreement, 4)
        quality["volume_ml"] = round(np.count_nonzero(brain.mask) * grid.voxel_ml, 1)
    doubts = list(brain_doubts(brain.mask, grid, brain.agreement))
    if tissue_ml < LEAST_HEAD_ML:
        doubts.append(
            f"the scans hold {tissue_ml / 1000:.1f} L of tissue, less than a whole head. If the skull was removed "
            "already, use --prepared"
        )
    return _checked_brain(brain.mask, tuple(doubts), log)


def _checked_brain(mask: Mask, doubts: tuple[str, ...], log: _Log) -> Mask:
    if not mask.any():
        message = (
            "No brain was found in the scans. Check that they show a head. If the skull was removed already, use "
            "--prepared."
        )
        raise CaseError(message)
    if doubts:
        log.warn(f"The brain may be wrong: {', and '.join(doubts)}. Check it with --keep-intermediate.")
    return np.asarray(mask)


def _rounded(values: Mapping[str, float | str]) -> Quality:
    return {name: value if isinstance(value, str) else round(value, 4) for name, value in values.items()}
