"""Create a bundle from a trained checkpoint: half precision, calibrated, with the hash of the weights."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from brats_mm.domain.counting import format_count
from brats_mm.domain.prediction import ModelIdentity
from brats_mm.domain.regions import REGIONS
from brats_mm.errors import BundleError, OutputError, extract_first_line
from brats_mm.inference.choice import choose_backend
from brats_mm.inference.predictor import Predictor
from brats_mm.io.bundle import HASHES, WEIGHTS, Bundle, compute_sha256
from brats_mm.io.labelled_cases import LabelledCase
from brats_mm.networks.mean_weights import average_weights
from brats_mm.networks.offset import subtract_from_logits
from brats_mm.outputs.folder import OutputFolder
from brats_mm.packaging.method_config import adapt_template
from brats_mm.pipeline.network import build_network, prepare_network
from brats_mm.trust.calibration import FittedSubsets, OnCase
from brats_mm.trust.calibration_choice import Calibration, calibrate
from brats_mm.trust.calibration_file import SUBSET_CALIBRATION, build_subset_calibration_document


class Fitting(Protocol):
    """Function that fits a correction of the logits to labelled cases."""

    def __call__(
        self, predictor: Predictor, cases: Sequence[LabelledCase], *, on_case: OnCase | None = None
    ) -> Calibration | FittedSubsets: ...


@dataclass(frozen=True)
class CreatedBundle:
    """A created bundle. `calibration` or `subsets` is set if a correction was fitted."""

    folder: Path
    weights_sha256: str
    calibration: Calibration | None
    subsets: FittedSubsets | None = None


def create_bundle(
    checkpoints: Sequence[Path],
    folder: Path,
    template: Bundle,
    *,
    version: str,
    configs: Sequence[Path] = (),
    calibrate_on: Sequence[LabelledCase] = (),
    fit: Fitting = calibrate,
    on_case: OnCase | None = None,
) -> CreatedBundle:
    """Write a bundle with the configs of `template` and the weights of one or more checkpoints.

    Args:
        checkpoints: at least one `model.pt` or `model_last.pt` of a training run. Several checkpoints must come from
            one training run or continue each other. Their weights are averaged (`networks.mean_weights`).
        folder: folder for the bundle. It must not contain a bundle.
        template: bundle whose `network_def` the weights belong to.
        version: version of the new bundle.
        configs: configs that the training used on top of the template's `train.json`, such as
            `configs/methods/mmp.json`. Optional if a record next to the checkpoint names the network and voxel size.
        calibrate_on: labelled cases to fit the correction to. Without cases, the logits are not corrected. Use
            validation cases, because the model overfits its training cases, and test cases must remain unseen.
        fit: the correction to fit. `calibration_choice.calibrate` fits an offset per region, written into the weights.
            `calibration.calibrate_subsets` fits an offset and a temperature per subset, and
            `calibration.calibrate_confidence` a foreground temperature per subset. The last two cannot be expressed as
            biases, so they are written to `models/calibration.json`.
        on_case: called after each case.

    Returns:
        The folder, the hash of the weights, and the fitted correction.

    Raises:
        BundleError: a checkpoint does not fit the network, or the template is damaged.
        OutputError: the folder already holds a bundle or cannot be written to.
        InputError: a case or config cannot be used.
    """
    if (folder / "configs").exists():
        raise OutputError(f"{folder} already holds a bundle. Choose another folder.")
    method = adapt_template(template, configs, checkpoints)
    metadata = {**template.metadata(), **method.described, "version": version}
    network, spacing_mm = build_network(template, method.inference, trusted=True)
    network.load_state_dict(average_weights([_load_weights(network, checkpoint) for checkpoint in checkpoints]))
    prepare_network(network)
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
            metadata["calibration"] = _describe_calibration(calibration)
    return write_bundle(
        folder,
        template,
        network,
        inference=method.inference,
        metadata=metadata,
        correction=_describe_correction(calibration, subsets),
        calibration=calibration,
        subsets=subsets,
    )


def write_bundle(
    folder: Path,
    template: Bundle,
    network: nn.Module,
    *,
    inference: dict[str, Any],
    metadata: dict[str, Any],
    correction: str,
    calibration: Calibration | None = None,
    subsets: FittedSubsets | None = None,
) -> CreatedBundle:
    """Write the configs, the weights in half precision with their hash, and a model card.

    Args:
        folder: folder for the bundle.
        template: bundle whose other configs and licences to copy.
        network: network with the weights.
        inference: content of `configs/inference.json`.
        metadata: content of `configs/metadata.json`.
        correction: sentence of the model card about the correction of the logits.
        calibration: correction that the weights contain.
        subsets: correction to write next to the weights.

    Raises:
        OutputError: the folder cannot be written to.
    """
    with OutputFolder(folder) as out:
        for path in (entry for entry in (template.root / "configs").rglob("*") if entry.is_file()):
            out.staged(path.relative_to(template.root).as_posix()).write_bytes(path.read_bytes())
        for name, content in (("metadata", metadata), ("inference", inference)):
            out.staged(f"configs/{name}.json").write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")
        for name in ("LICENSE", "docs/data_license.txt"):
            if (template.root / name).is_file():
                out.staged(name).write_bytes((template.root / name).read_bytes())
        weights = out.staged(WEIGHTS)
        torch.save({name: _halve(value) for name, value in network.state_dict().items()}, weights)
        digest = compute_sha256(weights)
        out.staged(HASHES).write_text(f"{digest}  {Path(WEIGHTS).name}\n", encoding="utf-8")
        out.staged("docs/README.md").write_text(_render_card(metadata, correction, digest), encoding="utf-8")
        if subsets is not None:
            table = build_subset_calibration_document(subsets.calibration, digest)
            out.staged(SUBSET_CALIBRATION).write_text(json.dumps(table, indent=4) + "\n", encoding="utf-8")
    return CreatedBundle(folder, digest, calibration, subsets)


def _load_weights(network: nn.Module, checkpoint: Path) -> dict[str, Tensor]:
    """Return the weights of a checkpoint, and load them into the network to check that they fit."""
    try:
        weights = extract_weights(torch.load(checkpoint, map_location="cpu", weights_only=True))
        network.load_state_dict(weights)
    except Exception as error:  # torch raises many types for a damaged file
        reason = extract_first_line(error)
        raise BundleError(
            f"{checkpoint} does not fit the template's network ({reason}). Provide the model.pt of the training, "
            "and name the configs of the training with --config or --bundle."
        ) from error
    return weights


def extract_weights(state: Any) -> dict[str, Tensor]:
    """Return the weights of a checkpoint, or their moving average if it has one."""
    if "network" not in state:
        weights: dict[str, Tensor] = state
        return weights
    averaged = (state.get("average") or {}).get("values") or {}
    return {**state["network"], **averaged}


def _halve(value: Tensor) -> Tensor:
    return value.half() if value.is_floating_point() else value


def _describe_calibration(calibration: Calibration) -> dict[str, Any]:
    left_out = calibration.left_out_gains
    return {
        "taken_off_logits": {region.value: round(value, 3) for region, value in calibration.offsets.items()},
        "gain_in_mean_dice": {region.value: round(value, 4) for region, value in calibration.gains.items()},
        "gain_of_cases_left_out": {region.value: round(value, 4) for region, value in left_out.items()},
        "cases": calibration.cases,
    }


def _describe_correction(calibration: Calibration | None, subsets: FittedSubsets | None) -> str:
    if calibration is not None:
        correction = "Constant offsets subtracted from the logits, " + ", ".join(
            f"{region.value.upper()} {value:.2f}" for region, value in calibration.offsets.items()
        )
        cases = calibration.cases
    elif subsets is not None:
        correction = f"Corrections of the logits for each subset ({SUBSET_CALIBRATION})"
        cases = subsets.calibration.cases
    else:
        return "The logits are as trained."
    fitted_on = format_count(cases, "labelled case")
    return f"{correction}, fitted on {fitted_on}. Scores on the same cases are slightly optimistic."


def _render_card(metadata: dict[str, Any], correction: str, digest: str) -> str:
    """Return a model card with placeholders for the author."""
    return (
        f"# Model card: {metadata.get('name', 'model')} {metadata['version']}\n\n"
        f"{metadata.get('description', '')}\n\n"
        f"{metadata.get('intended_use', '')}\n\n"
        f"Weights: half precision, SHA-256 {digest}. {correction}\n\n"
        "## To complete\n\n"
        "- Training data: sources, number of cases, terms of use.\n"
        "- Metrics: run `brats-mm evaluate`, then `brats-mm bundle card` to write the tables here.\n"
        "- Known failure cases.\n"
    )
