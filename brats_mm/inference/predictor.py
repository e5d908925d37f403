"""Run a loaded model on a case: prepare, run the windows, and restore the result to the input grid."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from brats_mm.domain.availability import Availability, describe
from brats_mm.domain.case import Case
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.prediction import NO_IMPORTANCE, Importance, ModelIdentity, Prediction, Run
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.subset_calibration import IDENTITY, Correction
from brats_mm.domain.volume import Array
from brats_mm.errors import ResourceError, is_out_of_memory
from brats_mm.inference.engine import (
    BACKGROUND_LOGIT,
    LogitMap,
    Progress,
    WindowSettings,
    iterate_window_sizes,
    run_windows,
)
from brats_mm.inference.prepare import ModelInput, Placement, prepare, restore, restore_with
from brats_mm.inference.single_backend import AnyBackend, create_torch_backend
from brats_mm.inference.small_lesions import drop_small_lesions

logger = logging.getLogger(__name__)

IDENTITY_BY_REGION: Mapping[Region, Correction] = dict.fromkeys(REGIONS, IDENTITY)
"""Calibration that leaves the logits of all regions unchanged."""

WITHOUT_CONTRAST = (
    "T1ce is missing. Without contrast, enhancing tumour and tumour core are hard to distinguish. Expect unreliable "
    "outlines of both, and check their entropy."
)

WITHOUT_IMPORTANCE = "This model has no gate weights, so the importance of sequences is unknown."


@dataclass(frozen=True, eq=False)
class Predictor:
    """A loaded model with its settings.

    Attributes:
        network: a mixture in evaluation mode, such as `networks.presets.simmlm()`, or a single network.
        model: identity of the model.
        device: device to run on. If its memory runs out, smaller windows and then the CPU are tried.
        settings: sliding-window settings.
        backend: backend of the network. Defaults to PyTorch.
    """

    network: nn.Module
    model: ModelIdentity
    device: torch.device
    settings: WindowSettings = field(default_factory=WindowSettings)
    backend: AnyBackend | None = None

    def predict(
        self, case: Case, *, on_window: Progress | None = None, prepared: ModelInput | None = None
    ) -> Prediction:
        """Segment a case with its available sequences.

        Args:
            case: sequences on one grid.
            on_window: called with the numbers of finished and total expert passes.
            prepared: result of `prepare` for this case. Computed if None.

        Returns:
            The prediction on the grid of the case.

        Raises:
            VolumeError: the field of view is too small or too large for a head.
            ResourceError: memory runs out even with the smallest window on the CPU.
        """
        subset = case.available
        return self.predict_subsets(case, [subset], on_window=on_window, prepared=prepared)[subset]

    def predict_subsets(
        self,
        case: Case,
        subsets: Sequence[Availability],
        *,
        on_window: Progress | None = None,
        prepared: ModelInput | None = None,
    ) -> dict[Availability, Prediction]:
        """Segment a case as if only the sequences of each subset were available, running each expert once.

        All subsets use the brain box of all sequences of the case.

        Args:
            case: sequences on one grid.
            subsets: subsets of the available sequences.
            on_window: called with the numbers of finished and total expert passes.
            prepared: result of `prepare` for this case. Computed if None.

        Returns:
            One prediction per subset. `prediction.case` holds only the sequences of the subset.

        Raises:
            VolumeError: the field of view is too small or too large for a head.
            ResourceError: memory runs out even with the smallest window on the CPU.
        """
        clock = _Clock()
        with clock.stage("prepare"):
            model_input = prepared or prepare(case, self.model.spacing_mm)
        with clock.stage("network"):
            maps, backend, notes = self._run(model_input, subsets, on_window)
        predictions = {}
        for subset in subsets:
            with clock.stage("restore"):
                restored = restore_map(maps[subset], subset, model_input.placement, self.model)
            run = Run(
                str(backend.device),
                backend.name,
                maps[subset].window,
                maps[subset].windows,
                dict(clock.seconds),
                backend.precision,
            )
            predictions[subset] = _assemble_prediction(_restrict_to(case, subset), restored, self.model, run, notes)
        return predictions

    def _run(
        self, model_input: ModelInput, subsets: Sequence[Availability], on_window: Progress | None
    ) -> tuple[dict[Availability, LogitMap], AnyBackend, tuple[str, ...]]:
        """Run the engine. If memory runs out, try smaller windows, then the CPU, with a warning."""
        devices = [self.device] if self.device.type == "cpu" else [self.device, torch.device("cpu")]
        attempts = [(device, size) for device in devices for size in iterate_window_sizes(self.settings.window)]
        backend = self.backend or create_torch_backend(self.network, self.device)
        for device, size in attempts:
            try:
                backend = backend.move_to(device)
                settings = replace(self.settings, window=size)
                maps = run_windows(model_input, backend, settings, subsets=subsets, on_window=on_window)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                logger.warning("Memory ran out on %s with a window of %s.", device, size)
                _free_memory(device)
                continue
            if (device, size) == attempts[0]:
                return maps, backend, ()
            side = "x".join(str(voxels) for voxels in size)
            note = f"Out of memory. The result was computed on {device} with a smaller window of {side} voxels."
            return maps, backend, (note,)
        raise ResourceError(
            "Memory ran out even with a window of 64 voxels per side on the CPU. Close other programs and try again."
        )


Restored: TypeAlias = "tuple[dict[Region, Array], Importance]"
"""Probabilities and importance on the input grid."""


def create_prediction(
    case: Case, logit_map: LogitMap, placement: Placement, model: ModelIdentity, run: Run
) -> Prediction:
    """Create the prediction of a case from the network's result over the model's box.

    Args:
        case: case with the input grid.
        logit_map: result of the network over the model's box.
        placement: position of the box on the input grid.
        model: identity of the model, with its calibration.
        run: settings of the run.

    Returns:
        The prediction on the grid of the case.
    """
    return _assemble_prediction(case, restore_map(logit_map, case.available, placement, model), model, run, ())


def restore_map(logit_map: LogitMap, subset: Availability, placement: Placement, model: ModelIdentity) -> Restored:
    """Apply the model's calibration, drop small lesions, and bring probabilities and importance to the input grid.

    Args:
        logit_map: result of the network over the model's box.
        subset: sequences that the network saw, which select the calibration.
        placement: position of the box on the input grid.
        model: identity of the model, with its calibration.

    Returns:
        Probabilities and importance on the input grid.
    """
    calibration = model.calibration
    corrections = IDENTITY_BY_REGION
    if calibration is not None:
        corrections = {region: calibration.find_correction(subset, region) for region in REGIONS}
    logits = drop_small_lesions(apply_calibration(logit_map.logits, corrections), model.spacing_mm**3 / 1000)
    return restore_probabilities(logits, placement, corrections), _compute_importance(logit_map, subset, placement)


def _assemble_prediction(
    case: Case, restored: Restored, model: ModelIdentity, run: Run, notes: tuple[str, ...]
) -> Prediction:
    probabilities, importance = restored
    unknown = () if importance.known else (WITHOUT_IMPORTANCE,)
    warnings = (*case.warnings, *_find_subset_warnings(case.available), *unknown, *notes)
    return Prediction(case, probabilities, importance, model, run, warnings)


def apply_calibration(logits: Tensor, corrections: Mapping[Region, Correction]) -> Tensor:
    """Apply offset and temperature per region to logits (c, h, w, d). Background logits are unchanged.

    Args:
        logits: (c, h, w, d) region logits.
        corrections: correction of each region.

    Returns:
        Tensor (c, h, w, d). Foreground temperatures are not applied.
    """
    if all((correction.offset, correction.temperature) == (0, 1) for correction in corrections.values()):
        return logits
    offsets, temperatures = (
        logits.new_tensor([getattr(corrections[region], name) for region in REGIONS])[:, None, None, None]
        for name in ("offset", "temperature")
    )
    return torch.where(logits > BACKGROUND_LOGIT, (logits - offsets) / temperatures, logits)


def restore_probabilities(
    logits: Tensor, placement: Placement, corrections: Mapping[Region, Correction] = IDENTITY_BY_REGION
) -> dict[Region, Array]:
    """Return the probabilities of each region on the input grid.

    Interpolates logits, not probabilities, so that a border between two voxels of the model's grid stays sharp. Applies
    the foreground temperature last. Applied before interpolation, it would shift the border.

    Args:
        logits: (c, h, w, d) over the model's box.
        placement: position of the box on the input grid.
        corrections: corrections whose foreground temperature is applied.
    """
    return {
        region: restore_with(
            logits[region.channel],
            placement,
            partial(_compute_probability, foreground_temperature=corrections[region].foreground_temperature),
            outside=BACKGROUND_LOGIT,
        )
        for region in REGIONS
    }


def _compute_probability(logits: Array, foreground_temperature: float) -> Array:
    calibrated = torch.from_numpy(logits)
    if foreground_temperature != 1:
        calibrated = torch.where(calibrated > 0, calibrated / foreground_temperature, calibrated)
    return np.asarray(torch.sigmoid(calibrated).numpy())


def _compute_importance(logit_map: LogitMap, subset: Availability, placement: Placement) -> Importance:
    if not len(logit_map.weights):
        return NO_IMPORTANCE
    weights = {
        modality: {region: float(logit_map.weights[modality.channel, region.channel]) for region in REGIONS}
        for modality in MODALITIES
    }
    joint = None
    if logit_map.joint_weights is not None:
        joint = {region: float(logit_map.joint_weights[region.channel]) for region in REGIONS}
    if logit_map.weight_maps is None:
        return Importance(weights, joint=joint)
    maps = {
        modality: {
            region: restore(logit_map.weight_maps[modality.channel, region.channel], placement) for region in REGIONS
        }
        for modality in MODALITIES
        if modality in subset
    }
    return Importance(weights, maps, joint)


def _restrict_to(case: Case, subset: Availability) -> Case:
    if subset == case.available:
        return case
    return replace(case, volumes={modality: case.volumes[modality] for modality in MODALITIES if modality in subset})


def _find_subset_warnings(subset: Availability) -> tuple[str, ...]:
    missing = frozenset(MODALITIES) - subset
    if not missing:
        return ()
    warning = f"Segmented without {describe(missing)}."
    return (warning, WITHOUT_CONTRAST) if Modality.T1CE in missing else (warning,)


def _free_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()


class _Clock:
    """Measures the seconds of each stage, summed over its calls."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = {}
        self._now = now

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = self._now()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + self._now() - start
