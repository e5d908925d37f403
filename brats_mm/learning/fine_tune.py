"""Fine-tune a bundle on the cases of a plan, and evaluate the old and the new version on held-out cases."""

import json
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from shutil import rmtree
from typing import Any

import torch
from monai.bundle import ConfigWorkflow
from torch import Tensor

from brats_mm.data.case_cache import PreparedCases
from brats_mm.domain.options import ModelOptions
from brats_mm.errors import TrainingError, find_own_error
from brats_mm.io.bundle import HASHES, WEIGHTS, Bundle, compute_sha256, open_bundle
from brats_mm.io.bundle_trust import check_configs
from brats_mm.io.volume import read_stored
from brats_mm.learning.corrections import Role
from brats_mm.learning.plan import REPLAY, PlannedCase, TrainingPlan
from brats_mm.learning.scores import compute_mean_dice, compute_mean_scores, score_prediction
from brats_mm.learning.site_bundle import write_site_bundle
from brats_mm.learning.versions import BUNDLE, REPORT
from brats_mm.learning.watched_trainer import REMEDY, TimedTraining, Watch
from brats_mm.outputs.folder import convert_output_errors
from brats_mm.pipeline.network import load_network
from brats_mm.pipeline.segmenter import Segmenter, choose_device
from brats_mm.trust.calibration_file import SUBSET_CALIBRATION

FITTED_FILES = ("models/trust.json", "docs/expected_dice.json", "docs/trust_figures.json")
"""Files with measurements of the parent's weights, which are not copied to a new version."""

EPOCHS, STEPS_PER_EPOCH = 1000, 100_000
"""More than any time limit allows, so that the time ends the training."""


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
    with convert_output_errors(output):
        return _fine_tune(parent, plan, folder, options, output, watch)


def _fine_tune(
    parent: Bundle, plan: TrainingPlan, folder: Path, options: ModelOptions, output: Path, watch: Watch
) -> dict[str, Any]:
    _, identity = load_network(parent, trusted=options.trust_bundle)
    if not options.trust_bundle:
        check_configs(parent)
    scratch = output.parent / f"{output.name}-training"
    output.mkdir(mode=0o700)
    try:
        site = write_site_bundle(plan, folder, parent, scratch / "site", check=watch.check)
        weights, steps = _train(site, plan.settings.minutes, scratch, choose_device(options.device), watch)
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
    bundle = write_version(parent, output / BUNDLE, weights, plan.version, report)
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
            f"{len(nonfinite)} weights are not finite (first: {nonfinite[0]}), so there is no new version. {REMEDY}"
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


def _train(
    site: Bundle, minutes: float, scratch: Path, device: torch.device, watch: Watch
) -> tuple[dict[str, Tensor], int]:
    """Train with the `train.json` of a site's bundle, and return the weights and the number of steps."""
    settings = {
        "bundle_root": str(site.root),
        "device": str(device),
        "epochs": EPOCHS,
        "val_interval": EPOCHS,  # held-out cases must not select the weights
        "steps_per_epoch": STEPS_PER_EPOCH,
        "cache_dir": str(scratch / "cache"),
        "check_cases": False,  # labels were checked when they were submitted
        "num_workers": 0,  # a confined process must not start other processes
        "ema_decay": 0.0,
        "progress_bar": False,
        "resume": False,
        "mlflow": None,
        "tensorboard_dir": None,
    }
    config = str(site.root / "configs" / "train.json")
    workflow = ConfigWorkflow(config, workflow_type="train", logging_file=False, **settings)
    training = TimedTraining(minutes, watch)
    try:
        workflow.initialize()
        try:
            _read_cases(PreparedCases(workflow.train_dataset), watch)
            training.run(workflow.trainer)  # `workflow.run` would let later imports come from the bundle's folder
        finally:
            workflow.finalize()
    except Exception as error:
        cause = find_own_error(error)
        if cause is None:
            raise
        raise cause from None
    network: torch.nn.Module = workflow.trainer.network
    return {name: value.cpu() for name, value in network.state_dict().items()}, training.steps


def _read_cases(cases: PreparedCases, watch: Watch) -> None:
    """Read and prepare each case once. Training draws its crops from the cache."""
    for number in range(len(cases)):
        watch.check()
        watch.progress("reading", number, len(cases))
        cases[number]


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
