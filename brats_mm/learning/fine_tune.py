"""Fine-tune a bundle on the cases of a plan, and evaluate the old and the new version on held-out cases."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from shutil import rmtree
from typing import Any

import torch
from torch import Tensor, nn

from brats_mm.domain.options import ModelOptions
from brats_mm.errors import CaseError, TrainingError
from brats_mm.io.bundle import HASHES, WEIGHTS, Bundle, compute_sha256, open_bundle
from brats_mm.io.volume import read_stored
from brats_mm.learning.corrections import Role
from brats_mm.learning.plan import REPLAY, PlannedCase, TrainingPlan
from brats_mm.learning.scores import compute_mean_dice, compute_mean_scores, score_prediction
from brats_mm.learning.versions import BUNDLE, REPORT
from brats_mm.losses.tumour import dice_and_bce
from brats_mm.networks.cross_mixture import CrossSequenceMixture
from brats_mm.outputs.folder import output_errors
from brats_mm.outputs.registered import write_image
from brats_mm.pipeline.network import load_network
from brats_mm.pipeline.segmenter import Segmenter, choose_device
from brats_mm.training.timed.loop import LoopSettings, Step, make_cross_sequence_step, train
from brats_mm.training.timed.packing import PackedCase, load_packed, pack_cases
from brats_mm.trust.calibration_file import SUBSET_CALIBRATION

FITTED_FILES = ("models/trust.json", "docs/expected_dice.json", "docs/trust_figures.json")
"""Files with measurements of the parent's weights, which are not copied to a new version."""

_REMEDY = "Lower the learning rate, or check the corrected cases."


@dataclass(frozen=True)
class Watch:
    """Callbacks for the progress and cancellation of a fine-tuning run.

    Attributes:
        check: called often. An exception from it stops the training.
        progress: called with a stage, the finished and the total number of its parts.
        clock: seconds that count as training time.
    """

    check: Callable[[], None]
    progress: Callable[[str, int, int], None]
    clock: Callable[[], float]


def fine_tune(plan: TrainingPlan, folder: Path, options: ModelOptions, output: Path, watch: Watch) -> dict[str, Any]:
    """Fine-tune, write the new bundle to `output/bundle` and the report to `output/training.json`.

    For a mixture with a cross-sequence expert, only that expert is trained. Other networks are trained as a whole.

    Args:
        plan: the cases and settings.
        folder: folder of the plan's cases.
        options: model to fine-tune, and how to run it for the evaluation.
        output: folder for the results. Created if needed.
        watch: reports and cancellation.

    Returns:
        The report.

    Raises:
        BundleError: the bundle cannot be used.
        InputError: a case cannot be used.
        OutputError: the disk is full.
        TrainingError: the loss or a weight is not finite.
    """
    parent = open_bundle(options.bundle)
    with output_errors(output):
        return _fine_tune(parent, plan, folder, options, output, watch)


def _fine_tune(
    parent: Bundle, plan: TrainingPlan, folder: Path, options: ModelOptions, output: Path, watch: Watch
) -> dict[str, Any]:
    network, identity = load_network(parent, trusted=options.trust_bundle)
    scratch = output.parent / f"{output.name}-training"
    output.mkdir(mode=0o700)
    try:
        cases = _pack_cases(plan, folder, scratch, identity.spacing_mm, watch)
        steps = _train(network, cases, plan, scratch, watch, choose_device(options.device))
    finally:
        rmtree(scratch, ignore_errors=True)
    watch.check()
    report: dict[str, Any] = {
        "version": plan.version,
        "parent": plan.parent,
        "parent_weights_sha256": identity.weights_sha256,
        "minutes": plan.settings.minutes,
        "steps": steps,
        "cases": {use: len(plan.select_by_use(use)) for use in (Role.TRAINING.value, REPLAY, Role.HELD_OUT.value)},
    }
    bundle = write_version(parent, output / BUNDLE, network.cpu().state_dict(), plan.version, report)
    report["weights_sha256"] = compute_sha256(bundle.weights)
    report["held_out"] = _compare(plan, folder, options, bundle, watch)
    for target in (output / REPORT, output / BUNDLE / REPORT):
        target.write_text(json.dumps(report, indent=2), encoding="utf-8")
    return report


def write_version(
    parent: Bundle, folder: Path, state: Mapping[str, Tensor], version: str, report: Mapping[str, Any]
) -> Bundle:
    """Write a bundle like `parent` with other weights.

    Keeps the calibration of the logits, because the version is evaluated with it. Omits files with measurements of the
    parent's weights.

    Args:
        parent: bundle to copy the configs of.
        folder: folder of the new bundle.
        state: weights of the new bundle.
        version: version of the new bundle.
        report: report of the training, for the changelog.

    Raises:
        TrainingError: a weight is not finite. Nothing was written.
    """
    kinds = {name: value.dtype for name, value in _load_stored_weights(parent).items()}
    weights = {name: value.to(kinds.get(name, value.dtype)) for name, value in state.items()}
    nonfinite = [name for name, value in weights.items() if not bool(torch.isfinite(value).all())]
    if nonfinite:
        message = (
            f"{len(nonfinite)} weights are not finite (first: {nonfinite[0]}), so there is no new version. {_REMEDY}"
        )
        raise TrainingError(message)
    for path in (source for source in parent.root.rglob("*") if source.is_file()):
        name = path.relative_to(parent.root).as_posix()
        if name in (WEIGHTS, HASHES, REPORT, *FITTED_FILES) or name.startswith("models/model."):
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    bundle = Bundle(folder)
    bundle.weights.parent.mkdir(parents=True, exist_ok=True)
    packed = BytesIO()  # on a full disk, torch raises its own error
    torch.save(weights, packed)
    bundle.weights.write_bytes(packed.getbuffer())
    digest = compute_sha256(bundle.weights)
    (folder / HASHES).write_text(f"{digest}  {Path(WEIGHTS).name}\n", encoding="utf-8")
    metadata = parent.metadata()
    cases = report["cases"][Role.TRAINING.value]
    changes = {**metadata.get("changelog", {}), version: f"Fine-tuned {report['parent']} on {cases} corrected cases."}
    document = {**metadata, "version": version, "changelog": changes}
    (folder / "configs" / "metadata.json").write_text(json.dumps(document, indent=4) + "\n", encoding="utf-8")
    calibration = folder / SUBSET_CALIBRATION
    if calibration.is_file():
        calibration_document = json.loads(calibration.read_text(encoding="utf-8"))
        calibration.write_text(
            json.dumps({**calibration_document, "weights_sha256": digest}, indent=4) + "\n", encoding="utf-8"
        )
    return bundle


def compute_mixture_loss(network: nn.Module, image: Tensor, target: Tensor, available: Tensor) -> Tensor:
    """Return the loss of a whole mixture on a batch with one availability per crop.

    Args:
        network: mixture from images (b, m, ...) and availability (b, m) to logits (b, c, ...).
        image: (b, m, h, w, d), zero in missing channels.
        target: (b, c, h, w, d), 0 or 1.
        available: (b, m) booleans.
    """
    hidden = image * available[:, :, None, None, None]
    losses = [
        dice_and_bce(network(hidden[index : index + 1], available[index : index + 1]), target[index : index + 1])
        for index in range(len(image))
    ]
    return torch.stack(losses).mean()


def _pack_cases(
    plan: TrainingPlan, folder: Path, scratch: Path, spacing_mm: float, watch: Watch
) -> list[tuple[PackedCase, float]]:
    """Pack the cases to train on, each with its weight."""
    cases, weights = plan.select_by_use(Role.TRAINING.value, REPLAY), plan.compute_case_weights()
    packed = []
    for number, (case, weight) in enumerate(zip(cases, weights, strict=True)):
        watch.check()
        watch.progress("reading", number, len(cases))
        item = as_nifti(case.item(folder), scratch / "nifti" / case.name)
        (path,) = pack_cases([item], scratch / "packed", spacing_mm=spacing_mm)
        packed.append((load_packed(path), weight))
    return packed


def as_nifti(item: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Convert sequences in other formats to NIfTI, which the training reads.

    Args:
        item: case as in `data.datalist`.
        folder: folder for the converted sequences. Created if one is needed.

    Returns:
        The case with the converted files in place of the originals.
    """
    images = dict(item["image"])
    for name, file in images.items():
        if not file.endswith((".nii", ".nii.gz")):
            folder.mkdir(parents=True, exist_ok=True)
            images[name] = str(folder / f"{name}.nii.gz")
            write_image(Path(images[name]), read_stored(Path(file)), name)
    return {**item, "image": images}


def _train(
    network: nn.Module,
    cases: Sequence[tuple[PackedCase, float]],
    plan: TrainingPlan,
    scratch: Path,
    watch: Watch,
    device: torch.device,
) -> int:
    """Train the network in place, and return the number of steps."""
    network.requires_grad_(True)  # noqa: FBT003 (PyTorch's own signature)
    trained: nn.Module = network
    step: Step = compute_mixture_loss
    if isinstance(network, CrossSequenceMixture):
        trained, step = network.cross, make_cross_sequence_step()
        cases = [(case, weight) for case, weight in cases if case.available.sum() > 1]
        if not cases:
            raise CaseError("Training needs a corrected case with at least two sequences. Correct such a case.")
    settings = LoopSettings(
        plan.settings.minutes,
        sides=((0.0, plan.settings.side),),
        batch=plan.settings.batch,
        learning_rate=plan.settings.learning_rate,
        warmup=0.05,
        save_minutes=float("inf"),
        seed=plan.settings.seed,
        workers=0,  # a confined process must not start other processes
    )
    begin, steps = watch.clock(), 0
    total = max(1, round(plan.settings.minutes * 60))

    def watch_step(trained: nn.Module, image: Tensor, target: Tensor, available: Tensor) -> Tensor:
        nonlocal steps
        watch.check()
        watch.progress("training", min(total, round(watch.clock() - begin)), total)
        steps += 1
        loss = step(trained, image, target, available)
        if not bool(torch.isfinite(loss)):
            message = f"The loss is {loss.item()} in step {steps}, so there is no new version. {_REMEDY}"
            raise TrainingError(message)
        return loss

    weights = train(
        trained,
        [case for case, _ in cases],
        [weight for _, weight in cases],
        scratch / "state",
        settings,
        step=watch_step,
        device=device,
        clock=watch.clock,
    )
    trained.load_state_dict(torch.load(weights, map_location=device, weights_only=True))
    network.eval()
    return steps


def _compare(plan: TrainingPlan, folder: Path, options: ModelOptions, bundle: Bundle, watch: Watch) -> dict[str, Any]:
    """Score both versions on the held-out cases, with all their sequences."""
    held_out = plan.select_by_use(Role.HELD_OUT.value)
    total, rows = 2 * len(held_out), [dict[str, Any](name=case.name) for case in held_out]
    for number, (name, root) in enumerate((("parent", options.bundle), ("version", bundle.root))):
        segmenter = Segmenter.from_options(replace(options, bundle=root, backend="torch"))
        for index, (case, row) in enumerate(zip(held_out, rows, strict=True)):
            watch.progress("evaluating", number * len(held_out) + index, total)
            row[name] = _score(segmenter, case, folder, watch)
    means = {name: compute_mean_scores(row[name] for row in rows) for name in ("parent", "version")}
    return {"cases": rows, **{name: {"dice": compute_mean_dice(mean), "scores": mean} for name, mean in means.items()}}


def _score(segmenter: Segmenter, case: PlannedCase, folder: Path, watch: Watch) -> dict[str, dict[str, float | None]]:
    watch.check()
    images = {name: folder / file for name, file in case.sequences.items()}
    prediction = segmenter.predict(images, on_window=lambda done, total: watch.check())
    corrected = read_stored(folder / case.label)
    return score_prediction(prediction.labels(), corrected.data.astype("uint8"), corrected.grid)


def _load_stored_weights(bundle: Bundle) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(bundle.weights, map_location="cpu", weights_only=True)
    return state
