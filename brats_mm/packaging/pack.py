"""From a trained checkpoint to a bundle that can be used and passed on: half precision, calibrated, with its hash."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from brats_mm.domain.prediction import ModelIdentity
from brats_mm.domain.regions import REGIONS
from brats_mm.errors import BundleError, OutputError, first_line
from brats_mm.inference.choice import choose_backend
from brats_mm.inference.predictor import Predictor
from brats_mm.io.bundle import HASHES, WEIGHTS, Bundle, sha256_of
from brats_mm.io.labelled_cases import LabelledCase
from brats_mm.networks.mean_weights import mean_weights
from brats_mm.networks.offset import subtract_from_logits
from brats_mm.outputs.folder import OutputFolder
from brats_mm.packaging.method_config import trained_as
from brats_mm.pipeline.network import network_of, ready_to_run
from brats_mm.trust.calibration import FittedSubsets, OnCase
from brats_mm.trust.calibration_choice import Calibration, calibrate
from brats_mm.trust.calibration_file import SUBSET_CALIBRATION, subset_calibration_document


class Fitting(Protocol):
    """Chooses a correction of the logits on labelled cases."""

    def __call__(
        self, predictor: Predictor, cases: Sequence[LabelledCase], *, on_case: OnCase | None = None
    ) -> Calibration | FittedSubsets: ...


@dataclass(frozen=True)
class Packed:
    """The bundle that was written; `calibration` or `subsets` say what was fitted, if anything was."""

    folder: Path
    weights_sha256: str
    calibration: Calibration | None
    subsets: FittedSubsets | None = None


def pack(
    checkpoints: Sequence[Path],
    folder: Path,
    template: Bundle,
    *,
    version: str,
    configs: Sequence[Path] = (),
    calibrate_on: Sequence[LabelledCase] = (),
    fit: Fitting = calibrate,
    on_case: OnCase | None = None,
) -> Packed:
    """Write a bundle with the configs of `template` and the weights of a checkpoint, or the mean of several.

    Args:
        checkpoints: one at least: `model.pt` that a training left, or its `model_last.pt`; of several, which must be of
            one lineage, `networks.mean_weights` is taken.
        folder: for the bundle; must not hold one.
        template: whose `network_def` the weights belong to.
        version: of the new bundle.
        configs: what the training had over the template's `train.json`, such as `configs/methods/mmp.json`. They may
            be left out where a record beside the checkpoint tells the network and the voxel size.
        calibrate_on: labelled cases on which a correction of the logits is chosen; none leaves them as they are. Take
            validation cases: those of the training are answered too well, and test cases would no longer test.
        fit: what is chosen: `calibration_choice.calibrate` a constant for each region, written into the weights;
            `calibration.calibrate_subsets` a constant and a temperature for each subset;
            `calibration.calibrate_certainty` how sure to be inside the outlines, for each subset. The last two travel
            beside the weights (`models/calibration.json`), since no bias can hold them.
        on_case: told after each case.

    Raises:
        BundleError: a checkpoint does not fit, or the template is damaged.
        OutputError: the folder holds a bundle already, or cannot be written to.
        InputError: a case or a config cannot be used.
    """
    if (folder / "configs").exists():
        message = f"{folder} holds a bundle already. Choose another folder."
        raise OutputError(message)
    method = trained_as(template, configs, checkpoints)
    metadata = {**template.metadata(), **method.described, "version": version}
    network, spacing_mm = network_of(template, method.inference)
    network.load_state_dict(mean_weights([_fitting(network, checkpoint) for checkpoint in checkpoints]))
    ready_to_run(network)
    calibration, subsets = None, None
    if calibrate_on:
        identity = ModelIdentity("unpacked", version, "", 0, spacing_mm)
        device = torch.device("cpu")
        predictor = Predictor(network, identity, device, backend=choose_backend("auto", network, device))
        fitted = fit(predictor, calibrate_on, on_case=on_case)
        if isinstance(fitted, FittedSubsets):
            subsets = fitted
        else:
            calibration = fitted
            subtract_from_logits(network, [calibration.offsets[region] for region in REGIONS])
            metadata["calibration"] = _document(calibration)
    with OutputFolder(folder) as out:
        for path in (found for found in (template.root / "configs").rglob("*") if found.is_file()):
            out.staged(path.relative_to(template.root).as_posix()).write_bytes(path.read_bytes())
        for name, content in (("metadata", metadata), ("inference", method.inference)):
            out.staged(f"configs/{name}.json").write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")
        for name in ("LICENSE", "docs/data_license.txt"):
            if (template.root / name).is_file():
                out.staged(name).write_bytes((template.root / name).read_bytes())
        weights = out.staged(WEIGHTS)
        torch.save({name: _halved(value) for name, value in network.state_dict().items()}, weights)
        digest = sha256_of(weights)
        out.staged(HASHES).write_text(f"{digest}  {Path(WEIGHTS).name}\n", encoding="utf-8")
        out.staged("docs/README.md").write_text(
            _card(metadata, _correction_told(calibration, subsets), digest), encoding="utf-8"
        )
        if subsets is not None:
            table = subset_calibration_document(subsets.calibration, digest)
            out.staged(SUBSET_CALIBRATION).write_text(json.dumps(table, indent=4) + "\n", encoding="utf-8")
    return Packed(folder, digest, calibration, subsets)


def _fitting(network: nn.Module, checkpoint: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint, once the network has taken them."""
    try:
        weights = weights_in(torch.load(checkpoint, map_location="cpu", weights_only=True))
        network.load_state_dict(weights)
    except Exception as error:  # torch raises a dozen types for a damaged file
        reason = first_line(error)
        message = (
            f"{checkpoint} does not hold weights of the template's network ({reason}). Give the model.pt that the "
            "training left, and with --bundle the bundle whose configs it was trained with."
        )
        raise BundleError(message) from error
    return weights


def weights_in(state: Any) -> dict[str, Tensor]:
    """The weights in a checkpoint: the average where a training's last state has one, else the network's own."""
    if "network" not in state:
        weights: dict[str, Tensor] = state
        return weights
    averaged = (state.get("average") or {}).get("values") or {}
    return {**state["network"], **averaged}


def _halved(value: Tensor) -> Tensor:
    return value.half() if value.is_floating_point() else value


def _document(calibration: Calibration) -> dict[str, Any]:
    left_out = calibration.left_out_gains
    return {
        "taken_off_logits": {region.value: round(value, 3) for region, value in calibration.offsets.items()},
        "gain_in_mean_dice": {region.value: round(value, 4) for region, value in calibration.gains.items()},
        "gain_of_cases_left_out": {region.value: round(value, 4) for region, value in left_out.items()},
        "cases": calibration.cases,
    }


def _correction_told(calibration: Calibration | None, subsets: FittedSubsets | None) -> str:
    if calibration is not None:
        told = "Constants taken off the logits, " + ", ".join(
            f"{region.value.upper()} {value:.2f}" for region, value in calibration.offsets.items()
        )
        cases = calibration.cases
    elif subsets is not None:
        told = f"Corrections of the logits for each subset ({SUBSET_CALIBRATION})"
        cases = subsets.calibration.cases
    else:
        return "The logits are as trained."
    return f"{told}, fitted on {cases} labelled cases. Figures on the same cases are a little flattered."


def _card(metadata: dict[str, Any], correction: str, digest: str) -> str:
    """A model card to be completed: what is known here, and what only the person who trained can say."""
    return (
        f"# Model card: {metadata.get('name', 'model')} {metadata['version']}\n\n"
        f"{metadata.get('description', '')}\n\n"
        f"{metadata.get('intended_use', '')}\n\n"
        f"Weights: half precision, SHA-256 {digest}. {correction}\n\n"
        "## To be filled in\n\n"
        "- Training data, by source and number of cases, with their terms.\n"
        "- Figures: `brats-mm evaluate` scores the 15 subsets, `brats-mm card` writes their tables here.\n"
        "- Where the model fails.\n"
    )
