"""Last steps of the bundle's inference: from logits on the model's grid to written results.

Together with `inference.bundle_steps`, MONAI's runner gives the same results as `brats-mm segment`, including
calibration.
"""

import logging
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.data import MetaTensor
from monai.transforms import MapTransform

from brats_mm.domain.prediction import ModelIdentity, Prediction, Run
from brats_mm.domain.regions import LabelConvention
from brats_mm.errors import OptionError
from brats_mm.inference.bundle_steps import EngineInferer, ToModelGridd
from brats_mm.inference.predictor import create_prediction
from brats_mm.io.bundle import Bundle, compute_sha256
from brats_mm.outputs.folder import OutputFolder
from brats_mm.pipeline.check import check_no_overwrite
from brats_mm.pipeline.identity import identify_model
from brats_mm.pipeline.network import count_parameters
from brats_mm.pipeline.request import OutputOptions, SegmentRequest
from brats_mm.pipeline.segment import Extras, write
from brats_mm.training.record import check_evaluated_spacing

logger = logging.getLogger(__name__)

PRED, SEGMENTATION, PREDICTION = "pred", "segmentation", "prediction"
"""Keys of the logits (later the label map), of the label map for hosts that follow the metadata, and of the prediction.
"""


def build_weights_identity(
    bundle_root: str, weights: str, network: torch.nn.Module, spacing_mm: float | int
) -> ModelIdentity:
    """Return the identity of the running model. Calibration and card apply only to the weights of the bundle.

    Args:
        bundle_root: folder of the bundle.
        weights: path of the loaded weights.
        network: the loaded network.
        spacing_mm: voxel size of the model.

    Raises:
        TrainingError: the weights were trained with another voxel size.
    """
    check_evaluated_spacing(weights, spacing_mm)
    bundle, digest = Bundle(Path(bundle_root)), compute_sha256(Path(weights))
    parameters, spacing = count_parameters(network), float(spacing_mm)
    if bundle.recorded_hash() in (None, digest):
        return identify_model(bundle, digest, parameters=parameters, spacing_mm=spacing)
    logger.warning("%s are not the bundle's weights, so its calibration is not applied.", weights)
    return ModelIdentity(Path(weights).stem, "unknown", digest, parameters, spacing)


class ToPredictiond(MapTransform):
    """Turn logits into a prediction on the input grid, like `Predictor.predict`.

    Adds the label map (1, h, w, d), uint8, as `segmentation`, and the `Prediction` as `prediction`. Replaces logits
    named `pred` by the label map without its channel, (h, w, d), because MONAI Label writes that key unchanged. Where
    the logits are in `segmentation`, as in MONAI Deploy, adds the label map as `pred` too, because that host sends
    every output of `metadata.json` as an image with one channel.

    Args:
        grid: transform that resampled the case to the model's grid.
        inferer: inferer that computed the logits, which has the gate's weights.
        model: identity of the model, with its calibration.
        convention: label convention, `brats2023` or `brats2021`.

    Raises:
        OptionError: the convention is unknown.
    """

    def __init__(
        self,
        grid: Any,
        inferer: EngineInferer,
        model: ModelIdentity,
        *,
        convention: str = LabelConvention.BRATS2023.value,
    ) -> None:
        super().__init__(PRED, allow_missing_keys=True)
        self.grid = _find_grid_step(grid)
        self.inferer = inferer
        self.model = model
        self.convention = LabelConvention.parse(convention)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        logits = data[PRED] if PRED in data else data[SEGMENTATION]
        origin = self.grid.find_origin(data["image"])
        logit_map = self.inferer.take_map(torch.as_tensor(logits).float().cpu())
        run = Run(str(self.inferer.device), "torch", logit_map.window, logit_map.windows, {})
        prediction = create_prediction(origin.case, logit_map, origin.placement, self.model, run)
        labels = torch.from_numpy(prediction.labels(self.convention))[None]
        affine = torch.as_tensor(origin.case.grid.affine)
        meta = {**getattr(data["image"], "meta", {}), "affine": affine}
        result = {**data, SEGMENTATION: MetaTensor(labels, affine=affine, meta=meta), PREDICTION: prediction}
        return {**result, PRED: MetaTensor(labels[0] if PRED in data else labels, affine=affine, meta=meta)}


class WriteResults:
    """Handler that writes the results of each case into a folder with its name. Attach it to an evaluator.

    Args:
        output_dir: parent of the folders.
        convention: label convention, `brats2023` or `brats2021`.
        importance_maps: also write each gate weight as a map.
        overwrite: replace existing results.
    """

    def __init__(
        self,
        output_dir: str,
        *,
        convention: str = LabelConvention.BRATS2023.value,
        importance_maps: bool = True,
        overwrite: bool = True,
    ) -> None:
        self.folder = Path(output_dir)
        self.options = OutputOptions(
            LabelConvention.parse(convention), importance_maps=importance_maps, preview=False, overwrite=overwrite
        )

    def attach(self, engine: Any) -> None:
        """Write the results after the postprocessing of each batch."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        for sample in engine.state.output:
            prediction: Prediction = sample[PREDICTION]
            name = Path(str(sample["image"].meta["filename_or_obj"])).name.removesuffix(".nii.gz")
            folder = self.folder / name
            check_no_overwrite(folder, SegmentRequest(outputs=self.options))
            with OutputFolder(folder) as out:
                write(prediction, out, self.options, Extras())


def _find_grid_step(grid: Any) -> ToModelGridd:
    """Return the transform itself, or the one in a chain."""
    steps = [grid] if isinstance(grid, ToModelGridd) else list(getattr(grid, "transforms", ()))
    grid_step = next((step for step in steps if isinstance(step, ToModelGridd)), None)
    if grid_step is None:
        raise OptionError(
            "The preprocessing has no ToModelGridd, which the results need. Set that transform as `grid`."
        )
    return grid_step
